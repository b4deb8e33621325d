#!/usr/bin/env bash
# Carriers name the caller as a tel: URI (RFC 3966) or with spaces and brackets around an international number. In
# google-libphonenumber (JavaScript), parse() reads them without a region, and parseAndKeepRawInput(), which its README
# shows first and which formatInOriginalFormat() needs, refuses each one as "Invalid country calling code" unless its
# very first character is an ASCII plus. phonenumbers (Python) and libphonenumber-js read all of them without a region.
# The numbers are lost only in the program that keeps what was given. Name some real region, such as "DE": the number
# names its own, so the result is the same.
# Seen with google-libphonenumber 3.2.47, libphonenumber-js 1.13.16 and phonenumbers 9.0.43.
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact google-libphonenumber@3.2.47 libphonenumber-js@1.13.16
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check phonenumbers==9.0.43
cat >given.txt <<'TXT'
+12015550123
tel:+12015550123
tel:2015550123;phone-context=+1
(+1) 201 555 0123
TXT
cat >read.py <<'PY'
import phonenumbers

for given in open("given.txt").read().splitlines():
    number = phonenumbers.parse(given, None, keep_raw_input=True)
    print(f"phonenumbers: {given} is {phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)}")
PY
cat >read.cjs <<'JS'
const { PhoneNumberFormat, PhoneNumberUtil } = require("google-libphonenumber");
const { parsePhoneNumber } = require("libphonenumber-js");
const util = PhoneNumberUtil.getInstance();
const readers = {
  "libphonenumber-js": (given) => parsePhoneNumber(given).number,
  parse: (given) => util.format(util.parse(given), PhoneNumberFormat.E164),
  parseAndKeepRawInput: (given) => util.format(util.parseAndKeepRawInput(given), PhoneNumberFormat.E164),
  "parseAndKeepRawInput, DE": (given) => util.format(util.parseAndKeepRawInput(given, "DE"), PhoneNumberFormat.E164),
};
for (const [name, read] of Object.entries(readers))
  for (const given of require("fs").readFileSync("given.txt", "utf8").trim().split("\n"))
    try {
      console.log(`${name}: ${given} is ${read(given)}`);
    } catch (error) {
      console.log(`${name}: ${given}: ${error.message}`);
    }
JS
seen=$(python/bin/python read.py; node read.cjs)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
phonenumbers: +12015550123 is +12015550123
phonenumbers: tel:+12015550123 is +12015550123
phonenumbers: tel:2015550123;phone-context=+1 is +12015550123
phonenumbers: (+1) 201 555 0123 is +12015550123
libphonenumber-js: +12015550123 is +12015550123
libphonenumber-js: tel:+12015550123 is +12015550123
libphonenumber-js: tel:2015550123;phone-context=+1 is +12015550123
libphonenumber-js: (+1) 201 555 0123 is +12015550123
parse: +12015550123 is +12015550123
parse: tel:+12015550123 is +12015550123
parse: tel:2015550123;phone-context=+1 is +12015550123
parse: (+1) 201 555 0123 is +12015550123
parseAndKeepRawInput: +12015550123 is +12015550123
parseAndKeepRawInput: tel:+12015550123: Invalid country calling code
parseAndKeepRawInput: tel:2015550123;phone-context=+1: Invalid country calling code
parseAndKeepRawInput: (+1) 201 555 0123: Invalid country calling code
parseAndKeepRawInput, DE: +12015550123 is +12015550123
parseAndKeepRawInput, DE: tel:+12015550123 is +12015550123
parseAndKeepRawInput, DE: tel:2015550123;phone-context=+1 is +12015550123
parseAndKeepRawInput, DE: (+1) 201 555 0123 is +12015550123
EXPECTED
