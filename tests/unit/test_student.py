import pytest

from selfteach_fairseq.student import Student, parse_students


def test_a_number_means_as_many_layers_on_both_sides():
    assert parse_students("3") == (Student(3, 3),)
    assert parse_students("6x3, 4,2x1") == (Student(6, 3), Student(4, 4), Student(2, 1))
    assert str(Student.parse("6x3")) == "6x3"


@pytest.mark.parametrize("spec", ["", "3x", "x3", "3x3x3", "-1", "3.5", "3,,2", "three", "٣x1x"])
def test_anything_else_is_refused(spec):
    with pytest.raises(ValueError, match="no choice of layers"):
        parse_students(spec)


def test_a_student_named_twice_is_refused():
    with pytest.raises(ValueError, match="2x2 more than once"):
        parse_students("2,3,2x2")


@pytest.mark.parametrize("student", ["0", "0x1", "5x1", "1x4"])
def test_a_student_must_be_part_of_the_model(student):
    with pytest.raises(ValueError, match="choose 1 to"):
        Student.parse(student).check_fits(4, 3)
    Student(4, 3).check_fits(4, 3)
