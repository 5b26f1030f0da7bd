"""What OfflineText adds to a prompt: light by the hour it names, a view, a mood, a finish."""

Phrases = tuple[str, ...]

LIGHTS: dict[str, dict[str, Phrases]] = {
    "en": {
        "night": ("lit by soft moonlight", "deep blue night tones", "glowing points of light in the dark"),
        "sunset": ("warm golden backlight", "long soft shadows", "a glowing orange sky"),
        "dawn": ("the first pale light of day", "cool pastel tones", "a thin morning haze"),
        "dusk": ("violet evening light", "the last glow on the horizon", "soft blue shadows"),
        "fog": ("diffused silvery light", "muted colours", "layers fading into the distance"),
        "day": ("clear bright daylight", "crisp shadows", "vivid natural colours"),
        "any": ("soft natural light", "warm side light", "gentle contrast of light and shadow"),
    },
    "ru": {
        "night": ("мягкий лунный свет", "глубокие синие тона", "светящиеся огни в темноте"),
        "sunset": ("тёплый золотой контровой свет", "длинные мягкие тени", "пылающее оранжевое небо"),
        "dawn": ("первый бледный свет дня", "прохладные пастельные тона", "лёгкая утренняя дымка"),
        "dusk": ("лиловый вечерний свет", "последний отблеск на горизонте", "мягкие синие тени"),
        "fog": ("рассеянный серебристый свет", "приглушённые цвета", "планы, тающие вдали"),
        "day": ("ясный дневной свет", "чёткие тени", "сочные естественные цвета"),
        "any": ("мягкий естественный свет", "тёплый боковой свет", "плавная игра света и тени"),
    },
    "es": {
        "night": ("suave luz de luna", "tonos azules profundos", "luces que brillan en la oscuridad"),
        "sunset": ("cálido contraluz dorado", "sombras largas y suaves", "un cielo anaranjado encendido"),
        "dawn": ("la primera luz pálida del día", "tonos pastel fríos", "una ligera bruma matinal"),
        "dusk": ("luz violeta del anochecer", "el último resplandor en el horizonte", "sombras azules suaves"),
        "fog": ("luz plateada difusa", "colores apagados", "planos que se pierden a lo lejos"),
        "day": ("luz diurna clara", "sombras nítidas", "colores naturales vivos"),
        "any": ("suave luz natural", "cálida luz lateral", "delicado juego de luces y sombras"),
    },
    "fr": {
        "night": ("douce lumière de lune", "tons bleu profond", "lueurs dans l'obscurité"),
        "sunset": ("chaud contre-jour doré", "longues ombres douces", "ciel orange flamboyant"),
        "dawn": ("première lueur pâle du jour", "tons pastel frais", "légère brume du matin"),
        "dusk": ("lumière violette du soir", "dernière lueur à l'horizon", "ombres bleues et douces"),
        "fog": ("lumière argentée diffuse", "couleurs sourdes", "plans qui s'estompent au loin"),
        "day": ("lumière du jour limpide", "ombres nettes", "couleurs naturelles vives"),
        "any": ("douce lumière naturelle", "chaude lumière latérale", "jeu délicat d'ombre et de lumière"),
    },
}
VIEWS: dict[str, Phrases] = {
    "en": ("wide composition with depth", "balanced composition", "a clear foreground and a soft background"),
    "ru": ("широкая композиция с глубиной", "уравновешенная композиция", "чёткий передний план и мягкий фон"),
    "es": ("composición amplia con profundidad", "composición equilibrada", "primer plano nítido y fondo suave"),
    "fr": ("composition large et profonde", "composition équilibrée", "premier plan net et arrière-plan doux"),
}
MOODS: dict[str, Phrases] = {
    "en": ("calm atmosphere", "a sense of wonder", "quiet cinematic mood"),
    "ru": ("спокойная атмосфера", "ощущение чуда", "тихое кинематографичное настроение"),
    "es": ("atmósfera serena", "una sensación de asombro", "ambiente cinematográfico y tranquilo"),
    "fr": ("atmosphère paisible", "un sentiment d'émerveillement", "ambiance calme et cinématographique"),
}
QUALITIES: dict[str, Phrases] = {
    "en": ("fine detail, harmonious colours", "rich textures, high resolution", "sharp focus, natural colours"),
    "ru": (
        "тонкая детализация, гармоничные цвета",
        "богатая фактура, высокое разрешение",
        "чёткий фокус, естественные цвета",
    ),
    "es": (
        "detalle fino, colores armoniosos",
        "texturas ricas, alta resolución",
        "enfoque nítido, colores naturales",
    ),
    "fr": (
        "détails fins, couleurs harmonieuses",
        "textures riches, haute résolution",
        "mise au point nette, couleurs naturelles",
    ),
}
