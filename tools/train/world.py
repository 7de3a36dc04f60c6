"""The small world our generated text is about: who, what, where, and a few true facts."""

GIRLS = """Mara Anna Lily Rosa Nora Ella Clara Ivy Hanna Greta Olga Vera Tessa Mina Ada Lena Julia Sara Emma Freya
Dora Wilma Edith Sofia Maya Zoe Ruth Alma Kira Paula Iris Petra Lucy Nina Elsa Marta""".split()
BOYS = """Tom Ben Oscar Hugo Felix Karl Leo Max Otto Peter Simon Victor Walter Adam Boris Conrad Daniel Emil Frank
George Henry Ivan Jonas Kurt Luis Martin Noah Oliver Paul Robert Sam Theo Anton Jacob Eric Finn""".split()
NAMES = GIRLS + BOYS

OBJECTS = """key lamp book ball cup coat drum kite rope bell basket map clock hat spoon blanket ring letter candle
bottle flute mirror shovel bucket coin doll umbrella pencil brush scarf lantern ladder pillow whistle hammer comb
violin needle plate jar towel stamp button trumpet compass feather chain knife broom wheel ticket lens purse
kettle sponge puzzle magnet helmet glove boot saddle trophy parcel""".split()

# many places, so that a thing and a place are told of together only now and then
PLACES = ["%s the %s" % (where, what) for where, whats in (
    ("in", "kitchen garden barn cellar attic cupboard drawer tower library cave boat school bakery wagon hall stable"),
    ("on", "table roof shelf bench porch wall hill windowsill sofa bridge"),
    ("under", "bed bridge stairs rug sofa table bench roof"),
    ("behind", "door stove curtain church shed fence mill gate sofa school barn cupboard"),
    ("near", "well pond mill station church river bridge gate school tower cave market"),
    ("beside", "gate fireplace fence bed stairs well door bench pond stove wagon window"),
    ("by", "window river door fire road lake church stable garden wall"),
) for what in whats.split()]

COLOURS = "red blue green yellow black white brown grey purple orange pink golden silver".split()
ADJ = "old small big heavy light new broken shiny dusty strange simple lovely useful".split()
FOODS = """bread soup cheese honey milk apples pears plums carrots potatoes beans rice eggs butter cake pie nuts berries
tomatoes onions jam tea fish mushrooms""".split()
JOBS = {"baker": "bakes bread", "teacher": "teaches children", "farmer": "works in the fields", "doctor": "helps sick people",
        "tailor": "sews clothes", "gardener": "grows flowers", "fisherman": "catches fish", "carpenter": "builds tables and chairs",
        "miller": "grinds corn into flour", "shepherd": "looks after sheep", "painter": "paints pictures", "sailor": "sails on the sea",
        "cook": "makes meals", "postman": "brings letters", "smith": "works with iron", "librarian": "takes care of books",
        "musician": "plays music", "nurse": "cares for patients", "pilot": "flies planes", "potter": "makes pots of clay"}
SKILLS = ["swim", "read", "sing", "dance", "play the piano", "ride a horse", "bake bread", "paint", "juggle", "skate",
          "play the flute", "draw", "climb trees", "tie knots", "write letters", "row a boat", "sew", "whistle", "cook"]
FEEL_GOOD = "happy glad proud cheerful thankful calm".split()
FEEL_BAD = "sad worried tired angry lonely afraid".split()
WEATHER = ["The sun was shining.", "It was raining.", "A cold wind was blowing.", "It was a warm day.", "Snow was falling.",
           "The sky was grey.", "There was fog over the fields.", "The air was fresh and clear.", "It was a quiet evening.",
           "Clouds were moving over the hills.", "It was very hot.", "The leaves were falling from the trees."]
TIMES = ["One morning", "One day", "One evening", "One afternoon", "Last summer", "Last winter", "Early in the spring",
         "On a Sunday", "On a Monday", "On a Friday", "Yesterday", "A long time ago", "Late one night", "After lunch"]
SPOTS = ["village", "town", "forest", "valley", "city", "farm", "harbour", "castle", "island", "mountain", "meadow", "market"]
KIN = ["mother", "father", "sister", "brother", "grandmother", "grandfather", "aunt", "uncle", "friend", "neighbour"]

# animal: (where it lives, what it eats, its young, its sound, what it is like)
ANIMALS = {
    "cow": ("on a farm", "grass", "calf", "moos", "large and calm"),
    "dog": ("in a house", "meat", "puppy", "barks", "loyal and playful"),
    "cat": ("in a house", "mice", "kitten", "meows", "quiet and quick"),
    "horse": ("on a farm", "hay", "foal", "neighs", "strong and fast"),
    "sheep": ("in a field", "grass", "lamb", "bleats", "soft and gentle"),
    "pig": ("on a farm", "corn", "piglet", "grunts", "clever and round"),
    "duck": ("on a pond", "small plants", "duckling", "quacks", "a good swimmer"),
    "goose": ("near a lake", "grass", "gosling", "honks", "loud and brave"),
    "lion": ("on the plains", "meat", "cub", "roars", "strong and proud"),
    "wolf": ("in the forest", "meat", "cub", "howls", "wild and clever"),
    "fox": ("in the forest", "mice and berries", "cub", "yelps", "clever and red"),
    "bear": ("in the mountains", "fish and berries", "cub", "growls", "big and heavy"),
    "frog": ("near a pond", "flies", "tadpole", "croaks", "small and green"),
    "owl": ("in a hollow tree", "mice", "owlet", "hoots", "awake at night"),
    "bee": ("in a hive", "nectar", "larva", "buzzes", "small and busy"),
    "rabbit": ("in a burrow", "grass and carrots", "kit", "squeaks", "shy and soft"),
    "mouse": ("in a hole", "seeds", "pup", "squeaks", "tiny and quick"),
    "elephant": ("on the plains", "leaves and grass", "calf", "trumpets", "very large and wise"),
    "goat": ("in the hills", "leaves", "kid", "bleats", "curious and stubborn"),
    "hen": ("on a farm", "seeds", "chick", "clucks", "busy and careful"),
    "squirrel": ("in a tree", "nuts", "kit", "chatters", "quick and careful"),
    "hedgehog": ("in a garden", "insects", "hoglet", "snuffles", "small and full of spines"),
    "deer": ("in the forest", "leaves", "fawn", "bleats", "shy and graceful"),
    "crow": ("in a tall tree", "seeds and worms", "chick", "caws", "black and clever"),
}
OPPOSITES = [("hot", "cold"), ("big", "small"), ("day", "night"), ("old", "young"), ("fast", "slow"), ("high", "low"),
             ("light", "dark"), ("happy", "sad"), ("full", "empty"), ("open", "closed"), ("wet", "dry"), ("long", "short"),
             ("rich", "poor"), ("hard", "soft"), ("near", "far"), ("early", "late"), ("strong", "weak"), ("loud", "quiet"),
             ("up", "down"), ("left", "right"), ("first", "last"), ("clean", "dirty"), ("true", "false"), ("good", "bad")]
CAPITALS = [("France", "Paris"), ("Germany", "Berlin"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Japan", "Tokyo"),
            ("Norway", "Oslo"), ("Greece", "Athens"), ("Egypt", "Cairo"), ("Russia", "Moscow"), ("Poland", "Warsaw"),
            ("Austria", "Vienna"), ("Portugal", "Lisbon"), ("Ireland", "Dublin"), ("Sweden", "Stockholm"),
            ("Finland", "Helsinki"), ("Hungary", "Budapest"), ("Cuba", "Havana"), ("Peru", "Lima"), ("Kenya", "Nairobi"),
            ("China", "Beijing"), ("India", "New Delhi"), ("Canada", "Ottawa"), ("England", "London"), ("Denmark", "Copenhagen")]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty""".split()
FACTS = [
    ("What colour is grass?", "Grass is green."), ("What colour is snow?", "Snow is white."),
    ("What colour is the sky on a clear day?", "On a clear day the sky is blue."), ("What colour is a ripe banana?", "A ripe banana is yellow."),
    ("What do bees make?", "Bees make honey."), ("What do cows give us?", "Cows give us milk."), ("What do hens lay?", "Hens lay eggs."),
    ("Where do fish live?", "Fish live in water."), ("Where does the sun rise?", "The sun rises in the east."),
    ("Where does the sun set?", "The sun sets in the west."), ("When do owls hunt?", "Owls hunt at night."),
    ("What is ice?", "Ice is frozen water."), ("What is steam?", "Steam is hot water in the air."), ("What is bread made of?", "Bread is made of flour and water."),
    ("What is cheese made of?", "Cheese is made of milk."), ("What is paper made of?", "Paper is made of wood."), ("What is glass made of?", "Glass is made of sand."),
    ("How many days are in a week?", "There are seven days in a week."), ("How many months are in a year?", "There are twelve months in a year."),
    ("How many hours are in a day?", "There are twenty-four hours in a day."), ("How many minutes are in an hour?", "There are sixty minutes in an hour."),
    ("How many legs does a spider have?", "A spider has eight legs."), ("How many legs does an insect have?", "An insect has six legs."),
    ("How many wheels does a bicycle have?", "A bicycle has two wheels."), ("How many sides does a triangle have?", "A triangle has three sides."),
    ("How many sides does a square have?", "A square has four sides."), ("What do we use to write?", "We use a pencil to write."),
    ("What do we use to cut bread?", "We use a knife to cut bread."), ("What do we use in the rain?", "We use an umbrella in the rain."),
    ("What do we use to see in the dark?", "We use a lamp to see in the dark."), ("What do we use to drive in a nail?", "We use a hammer to drive in a nail."),
    ("What keeps us warm in winter?", "A coat keeps us warm in winter."), ("What is the coldest season?", "Winter is the coldest season."),
    ("What is the warmest season?", "Summer is the warmest season."), ("When do the leaves fall?", "The leaves fall in autumn."),
    ("When do flowers start to grow?", "Flowers start to grow in spring."), ("What do plants need?", "Plants need water and light."),
    ("What shines at night?", "The moon and the stars shine at night."), ("What do we breathe?", "We breathe air."),
    ("What is the earth?", "The earth is a planet."), ("What is the sun?", "The sun is a star."), ("What goes around the earth?", "The moon goes around the earth."),
    ("What do we do with our eyes?", "We see with our eyes."), ("What do we do with our ears?", "We hear with our ears."),
    ("What do we do with our nose?", "We smell with our nose."), ("What do birds have?", "Birds have feathers and wings."),
    ("What does a compass show?", "A compass shows where north is."), ("What does a clock show?", "A clock shows the time."),
    ("Where do we borrow books?", "We borrow books in a library."), ("Where do trains stop?", "Trains stop at a station."),
    ("What is a skein?", "A skein is a flock of geese in flight."), ("How do geese fly?", "Geese fly in the shape of the letter V."),
    ("Where do geese fly in autumn?", "In autumn many geese fly south."), ("Why is the sea salty?", "The sea is salty because rivers carry salt into it."),
]
