#!/usr/bin/env bash
# libphonenumber's is_number_match can't tell whether two ways to write a number mean one subscriber. It gives the same
# answer (short match) for Mexico's and Argentina's old and new way to write one line and for two different numbers of
# Italy, where the zero belongs to the number; and no match for Brazil's mobile lines before and after the ninth digit.
# Seen with phonenumbers 9.0.43.
# Needs python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check phonenumbers==9.0.43
cat >match.py <<'PY'
import phonenumbers as p

names = {p.MatchType.NO_MATCH: "no match", p.MatchType.SHORT_NSN_MATCH: "short match"}
for what, one, other in (
    ("Mexico, one line", "+5215512345678", "+525512345678"),
    ("Argentina, one line", "+5491123456789", "+541123456789"),
    ("Brazil, one line", "+5511987654321", "+551187654321"),
    ("Italy, two numbers", "+390612345678", "+39612345678"),
):
    print(f"{what}: {names.get(p.is_number_match(one, other), 'another answer')}")
PY
seen=$(python/bin/python match.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
Mexico, one line: short match
Argentina, one line: short match
Brazil, one line: no match
Italy, two numbers: short match
EXPECTED
