"""What the installer says, in Tajik, Russian and English; joined into the one file that a technician starts."""

WORDS = {
    "need_root": (
        "Фармонро бо sudo иҷро кунед: sudo sh install",
        "Запустите команду через sudo: sudo sh install",
        "Run the command with sudo: sudo sh install",
    ),
    "need_pc": (
        "Ба Soro компютери 64-битии x86 бо Debian 12 ё Ubuntu 24.04 ё навтар лозим аст; ин {found} аст.",
        "Для Soro нужен 64-битный компьютер x86 с Debian 12, Ubuntu 24.04 или новее; здесь {found}.",
        "Soro needs a 64-bit x86 PC with Debian 12, Ubuntu 24.04 or newer; this is {found}.",
    ),
    "need_python": (
        "Ин флешка барои Python {wanted} аст, дар компютер Python {found} аст. Флешкаи дигар пурсед.",
        "Этот носитель рассчитан на Python {wanted}, а на компьютере Python {found}. Попросите другой носитель.",
        "This stick is for Python {wanted}, and this PC has Python {found}. Ask for another stick.",
    ),
    "need_venv": (
        "Ба Python қисми «venv» намерасад. Аз диски системавии Debian ё Ubuntu бастаи python3-venv-ро насб кунед.",
        "У Python нет части «venv». Установите пакет python3-venv с установочного диска Debian или Ubuntu.",
        "This PC's Python lacks «venv». Install the package python3-venv from the disc that Debian or Ubuntu came on.",
    ),
    "need_memory": (
        "Ба Soro на кам аз 4 ГБ хотира лозим аст; ин компютер {found} ГБ дорад.",
        "Для Soro нужно не меньше 4 ГБ памяти; на этом компьютере {found} ГБ.",
        "Soro needs at least 4 GB of memory; this PC has {found} GB.",
    ),
    "need_disk": (
        "Дар диск ({place}) ҷой намерасад: {wanted} ГБ лозим, {found} ГБ холӣ аст. Ҷой холӣ карда, аз нав оғоз кунед.",
        "На диске ({place}) мало места: нужно {wanted} ГБ, свободно {found} ГБ. Освободите место и начните снова.",
        "The disk ({place}) has too little room: {wanted} GB are needed, {found} GB are free. Make room, start again.",
    ),
    "learns": (
        "Ин компютер шабона аз баҳо ва ислоҳи омӯзгорон меомӯзад.",
        "По ночам этот компьютер учится на оценках и исправлениях учителей.",
        "At night this PC learns from the teachers' ratings and corrections.",
    ),
    "lean_wished": (
        "Ба хоҳиши шумо барнома бе қисми омӯзиш насб шуд: ин компютер ҷавоб медиҳад, вале намеомӯзад.",
        "По вашему желанию программа установлена без обучения: этот компьютер отвечает, но не учится.",
        "As you wished, the program is without learning: this PC answers, and does not learn.",
    ),
    "lean_stick": (
        "Дар ин флешка қисми омӯзиш нест: ин компютер ҷавоб медиҳад, вале намеомӯзад.",
        "На этом носителе нет части для обучения: этот компьютер отвечает, но не учится.",
        "This stick has nothing to learn with: this PC answers, and does not learn.",
    ),
    "lean_python": (
        "Қисми омӯзиши флешка барои Python {wanted} аст, дар компютер Python {found} аст: он намеомӯзад.",
        "Часть для обучения рассчитана на Python {wanted}, а на компьютере Python {found}: он не учится.",
        "What learning takes is on the stick for Python {wanted}, and this PC has Python {found}: it does not learn.",
    ),
    "lean_memory": (
        "Барои омӯзиш {wanted} ГБ хотира лозим аст, компютер {found} ГБ дорад: он ҷавоб медиҳад, вале намеомӯзад.",
        "Для обучения нужно {wanted} ГБ памяти, у компьютера {found} ГБ: он отвечает, но не учится.",
        "Learning needs {wanted} GB of memory, and this PC has {found} GB: it answers, and does not learn.",
    ),
    "lean_disk": (
        "Барои омӯзиш дар диск ({place}) {wanted} ГБ лозим, {found} ГБ холӣ аст: компютер ҳоло намеомӯзад.",
        "Для обучения на диске ({place}) нужно {wanted} ГБ, свободно {found} ГБ: компьютер пока не учится.",
        "Learning needs {wanted} GB on the disk ({place}), and {found} GB are free: this PC does not learn yet.",
    ),
    "learns_already": (
        "Аммо ҳоло он меомӯзад, бинобар ин ҳеҷ чиз тағйир наёфт. Сабабро бартараф кунед ё --lean илова кунед.",
        "Но сейчас он учится, поэтому ничего не изменено. Устраните причину или добавьте --lean.",
        "But now it does, so nothing was changed. Mend that, or add --lean.",
    ),
    "unsigned": (
        "Рӯйхати файлҳои флешка аз вазорат нест ё вайрон шудааст. Онро истифода набаред ва ба вазорат хабар диҳед.",
        "Список файлов на носителе не от министерства или повреждён. Не используйте его и сообщите министерству.",
        "The stick's list of files is not the ministry's, or is damaged. Do not use the stick, and tell the ministry.",
    ),
    "damaged": (
        "Файли «{name}» дар флешка вайрон ё иваз шудааст. Флешкаи нав пурсед.",
        "Файл «{name}» на носителе повреждён или подменён. Попросите новый носитель.",
        "The file «{name}» on the stick is damaged or was exchanged. Ask for a new stick.",
    ),
    "older": (
        "Дар компютер барномаи навтар аз флешка кор мекунад. Флешкаи навтар пурсед.",
        "На компьютере уже работает более новая программа, чем на носителе. Попросите более новый носитель.",
        "This PC already runs a newer program than the stick has. Ask for a newer stick.",
    ),
    "busy": (
        "Насб аллакай дар равзанаи дигар кор мекунад. Анҷоми онро интизор шавед.",
        "Установка уже идёт в другом окне. Дождитесь её окончания.",
        "Another installation is already running. Wait for its end.",
    ),
    "unchanged": ("Ҳеҷ чиз тағйир наёфт.", "Ничего не изменено.", "Nothing was changed."),
    "again": (
        "Сабабро бартараф кунед ва ҳамин фармонро аз нав диҳед: он аз ҷои боздошта идома меёбад.",
        "Устраните причину и повторите ту же команду: она продолжит с того же места.",
        "Mend that and give the same command again: it goes on where it was.",
    ),
    "failed": (
        "Қадам иҷро нашуд: {said}",
        "Шаг не выполнен: {said}",
        "The step failed: {said}",
    ),
    "page_silent": (
        "Саҳифа ҷавоб надод. Фармони «journalctl -u soro» сабабро мегӯяд.",
        "Страница не ответила. Причину скажет команда «journalctl -u soro».",
        "The page did not answer. The command «journalctl -u soro» says why.",
    ),
    "checking": ("Санҷиши файлҳои флешка", "Проверка файлов носителя", "Checking the stick's files"),
    "program": (
        "Насби барнома (якчанд дақиқа)",
        "Установка программы (несколько минут)",
        "Installing the program (minutes)",
    ),
    "data": ("Ҷои маълумоти мактаб", "Место для данных школы", "A place for the school's data"),
    "service": ("Ба кор даровардани саҳифа", "Запуск страницы", "Starting the page"),
    "enrolling": (
        "Бақайдгирӣ ҳамчун мактаби «{school}»",
        "Регистрация школы «{school}»",
        "Enrolling as the school “{school}”",
    ),
    "model": (
        "Насби модел (якчанд дақиқа)",
        "Установка модели (несколько минут)",
        "Installing the model (minutes)",
    ),
    "ask_code": (
        "Рамзи варақаи вазоратро нависед (Enter — дертар): ",
        "Введите код с листа министерства (Enter — позже): ",
        "Type the code of the ministry's sheet (Enter: later): ",
    ),
    "not_enrolled": (
        "Компютер ҳоло бақайд нест: варақаи вазоратро дар саҳифаи «Пайваст кардани ин компютер» ба кор баред.",
        "Компьютер ещё не зарегистрирован: лист министерства введите на странице «Подключить этот компьютер».",
        "This PC is not enrolled yet: use the ministry's sheet on the page «Enrol this PC».",
    ),
    "asked": (
        "Алоқа нест. Бо аввалин алоқа компютер худаш бақайд мешавад. Дархост дар флешка аст: дар охир баргардонед.",
        "Связи нет. С первой связью компьютер зарегистрируется сам. Запрос — на носителе: в конце верните его.",
        "There is no link. With the first one this PC enrols by itself. The stick has a request: return it in the end.",
    ),
    "code_stays": (
        "Файли code.txt-ро аз флешка худатон нест кунед: он рамзи истифодашуда дорад.",
        "Удалите файл code.txt с носителя сами: в нём использованный код.",
        "Delete the file code.txt from the stick yourself: it holds the code that was used.",
    ),
    "model_later": (
        "Модел ҳоло насб нашуд; он бо алоқа ё флешка меояд. Саҳифа бе он ҳам кор мекунад.",
        "Модель пока не установлена; она придёт по связи или на носителе. Страница работает и без неё.",
        "The model is not installed yet; it comes by link or by stick. The page works without it.",
    ),
    "done": ("Тайёр. Хонандагон ин суроғаро менависанд:", "Готово. Ученики набирают адрес:", "Done. Pupils type:"),
    "sheet": (
        "Варақаи чопӣ бо суроға: {path}",
        "Лист с адресом для печати: {path}",
        "A page with the address, to print: {path}",
    ),
    "gone": (
        "Барнома нест карда шуд. Маълумоти мактаб дар {path} монд.",
        "Программа удалена. Данные школы остались в {path}.",
        "The program was removed. The school's data stays in {path}.",
    ),
}
LANGUAGES = ("tg", "ru", "en")
