"""Language labels of catalogues (`rus`, `ger`, `fr-CA`, `English`, `русский`) as ISO 639-1 codes.

ISO 639-2 has two codes for some languages, the bibliographic one (MARC's: `ger`) and the terminological one (`deu`).
"""

from __future__ import annotations

import re
from collections.abc import Collection

#: ISO 639-1 code -> ISO 639-2 codes and names
_LABELS = """
af afr afrikaans
ar ara arabic العربية
az aze azerbaijani
be bel belarusian беларуская белорусский
bg bul bulgarian български болгарский
bn ben bengali
bs bos bosnian
ca cat catalan català
cs ces cze czech čeština
cy cym wel welsh
da dan danish dansk
de deu ger german deutsch allemand немецкий
el ell gre greek ελληνικά
en eng english anglais englisch английский
eo epo esperanto
es spa spanish castilian español espagnol spanisch испанский
et est estonian eesti
eu eus baq basque euskara
fa fas per persian farsi فارسی
fi fin finnish suomi
fr fra fre french français francais französisch французский
ga gle irish
gl glg galician galego
gu guj gujarati
he heb hebrew עברית
hi hin hindi हिन्दी
hr hrv croatian hrvatski
hu hun hungarian magyar
hy hye arm armenian հայերեն
id ind indonesian
is isl ice icelandic
it ita italian italiano italien italienisch итальянский
ja jpn japanese 日本語
ka kat geo georgian ქართული
kk kaz kazakh қазақ казахский
ko kor korean 한국어
ky kir kyrgyz
la lat latin латинский
lt lit lithuanian lietuvių
lv lav latvian latviešu
mk mkd mac macedonian
mn mon mongolian
mr mar marathi
ms msa may malay
nb nob bokmål
nl nld dut dutch nederlands
nn nno nynorsk
no nor norwegian norsk
pl pol polish polski польский
pt por portuguese português portugais
ro ron rum romanian română
ru rus russian русский russisch russe
sk slk slo slovak slovenčina
sl slv slovenian slovene slovenščina
sq sqi alb albanian shqip
sr srp serbian српски
sv swe swedish svenska
sw swa swahili
ta tam tamil
te tel telugu
tg tgk tajik
th tha thai
tk tuk turkmen
tr tur turkish türkçe
tt tat tatar татарский
uk ukr ukrainian українська украинский
ur urd urdu
uz uzb uzbek
vi vie vietnamese
zh zho chi chinese 中文
"""
_CODES = {label: line.split()[0] for line in _LABELS.split("\n") if line for label in line.split()}


def language_code(label: str) -> str | None:
    """The ISO 639-1 code of a label: a code of two or three letters, with or without a region, or a name.

    None for what is not a language here: `und` and `mul` (undetermined, several), several labels at once, misspellings.
    """
    label = label.strip().casefold()
    return _CODES.get(label) or _CODES.get(re.split(r"[-_@.]", label, maxsplit=1)[0])


def known_language(label: str, field: str, others: Collection[str] = ()) -> str:
    """The code of `label`, which may also be one of `others`: a detector knows more languages than are listed here.

    Raises `ValueError` naming `field` for anything else.
    """
    code = label if label in others else language_code(label)
    if code is None:
        raise ValueError(f"{field}: {label[:40]!r} is no language")
    return code
