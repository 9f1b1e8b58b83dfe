"""The report's page in a browser, if there is one: Chromium without a window."""

import json
import re
import shutil
import subprocess

import pytest
import scored
from conftest import selfteach, train

from selfteach_fairseq.report import curves
from selfteach_fairseq.report.page import POLICY

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(
    not BROWSER, reason="no chromium, chromium-browser, google-chrome"
)
# What a reader would see, written into the page itself: of each picture, how much is not white.
PROBE = """<pre id="probe"></pre><script>
function inked(image) {
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  pen.fillStyle = "white"; pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0);
  const dots = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  return dots.filter((value, i) => i % 4 == 0 && value < 200).length / (dots.length / 4);
}
addEventListener("load", () => probe.textContent = JSON.stringify({
  images: [...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth, inked(i)]),
  rows: [...document.querySelectorAll("table")].map(table => table.rows.length),
  fetched: performance.getEntriesByType("resource").map(entry => entry.name)
    .filter(name => !name.startsWith("data:")),
  width: innerWidth, needed: document.documentElement.scrollWidth,
}));
</script>"""


def browse(page, *options):
    """Run the browser on a page; what it prints."""
    result = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND", "--hide-scrollbars"),
            *(f"--user-data-dir={page.parent}/profile", *options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a corpus")
    scored.make(folder)
    result = selfteach("report", folder)
    assert result.stderr == ""
    return folder / "report.html"


@pytest.fixture(scope="module")
def probed(page):
    """A copy of the page that says what is in it; for that it has to allow scripts."""
    html = page.read_text()
    assert POLICY in html
    copy = page.with_name("probed.html")
    copy.write_text(html.replace(POLICY, "").replace("</body>", PROBE + "</body>"))
    return copy


@needs_browser
@pytest.mark.parametrize("width", [1300, 500])  # a phone's; Chromium makes no narrower windows
def test_the_pictures_and_tables_are_there(probed, width):
    dom = browse(probed, f"--window-size={width},900", "--dump-dom")
    found = json.loads(re.search(r'<pre id="probe">(.*?)</pre>', dom)[1].replace("&amp;", "&"))
    assert len(found["images"]) == 4
    for complete, own_width, shown_width, inked in found["images"]:
        assert complete and own_width > 300 and 300 < shown_width < found["width"]
        assert 0.005 < inked < 0.5
    assert found["rows"][:2] == [6, 6] and found["rows"][2] > 5
    assert found["fetched"] == []
    assert found["needed"] <= found["width"]  # no scrolling sideways


@needs_browser
def test_no_script_runs_in_it(page):
    copy = page.with_name("attacked.html")
    attack = '<p id="target"></p><script>target.textContent = "it" + " ran"</script>'
    copy.write_text(page.read_text().replace("</body>", attack + "</body>"))
    assert "it ran" not in browse(copy, "--dump-dom")
    copy.write_text(copy.read_text().replace(POLICY, ""))
    assert "it ran" in browse(copy, "--dump-dom")


@needs_browser
def test_what_is_on_the_screen(page):
    from matplotlib.image import imread

    shot = page.with_name("shot.png")
    browse(page, "--window-size=1300,900", f"--screenshot={shot}")
    height, width, _ = (dots := imread(shot)).shape
    assert (height, width) == (900, 1300)
    left, right = dots[200:600, :650, :3], dots[200:600, 650:, :3]
    for half in (left, right):  # the two pictures beside each other
        coloured = half.max(axis=2) - half.min(axis=2) > 0.3
        assert coloured.sum() > 200 and (half.mean(axis=2) > 0.98).mean() > 0.5


def test_the_curves_of_a_real_training(data, tmp_path):
    """fairseq's own log: of a training that was stopped after two epochs and went on to a third."""
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs/train-selfteach-seed1.log"
    options = ("--student-layers", "2x1", "--log-interval", 10)
    printed = [train(data, tmp_path / "run", *options, "--max-epoch", n) for n in (2, 3)]
    log.write_text("".join(result.stdout + result.stderr for result in printed))
    (run,) = curves.runs(tmp_path)
    assert (run.system, run.seed, list(run.curves)) == ("selfteach", "1", ["full", "2x1"])
    for model, name in (("full", "nll_loss"), ("2x1", "student_2x1_nll_loss")):
        logged = re.findall(
            rf"\| valid \| .* \| {name} (\S+) .* num_updates (\d+)", log.read_text()
        )
        assert len(logged) == 3
        assert run.curves[model] == [(int(update), float(loss)) for loss, update in logged]
