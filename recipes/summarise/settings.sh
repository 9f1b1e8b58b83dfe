# Summaries of documents, one a line each: summarise-NAME, with SRC= and TGT= as bitext has them.
#   LONGEST=512   documents are cut to so many pieces
SOURCE_LANG=${SOURCE_LANG:-document} TARGET_LANG=${TARGET_LANG:-summary}
source "$recipes/bitext/settings.sh"
text+=(--summaries)
cut_source=${LONGEST:-512} metric=rouge
