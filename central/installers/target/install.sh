#!/bin/sh
""":"
# Makes this PC a school's node:  sudo sh install        Takes the program away again:  sudo sh install --uninstall
# sh reads up to the line of quotes below and hands over to a Python that will do; Python takes all of this for a text.
for python in python3 python3.13 python3.12 python3.11; do
  if command -v "$python" >/dev/null 2>&1 &&
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    exec "$python" -I "$0" "$@"
  fi
done
cat >&2 <<'SENTENCES'
Дар ин компютер Python 3.11, 3.12 ё 3.13 нест. Аввал Debian 12, Debian 13 ё Ubuntu 24.04-ро насб кунед. Ҳеҷ чиз тағйир наёфт.
На этом компьютере нет Python 3.11, 3.12 или 3.13. Сначала установите Debian 12, Debian 13 или Ubuntu 24.04. Ничего не изменено.
This PC has no Python 3.11, 3.12 or 3.13. Install Debian 12, Debian 13 or Ubuntu 24.04 first. Nothing was changed.
SENTENCES
exit 1
":"""
