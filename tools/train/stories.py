"""Writes documents of simple English about the world of world.py, from a random.Random and nothing else.

Every public function doc_* returns one document. write(rng) picks one by weight and returns only documents that
hold no held-out combination (heldout.py)."""
import re

from heldout import clean, held
from world import (ADJ, ANIMALS, BOYS, CAPITALS, COLOURS, DAYS, FACTS, FEEL_BAD, FEEL_GOOD, FOODS, GIRLS, JOBS, KIN, MONTHS,
                   NAMES, NUMBERS, OBJECTS, OPPOSITES, PLACES, SKILLS, SPOTS, TIMES, WEATHER)

class Person:
    def __init__(self, name):
        self.name, girl = name, name in GIRLS
        self.he, self.him, self.his = ("she", "her", "her") if girl else ("he", "him", "his")
        self.He, self.His = self.he.capitalize(), self.his.capitalize()

def a(noun):
    return ("an " if noun[0] in "aeiou" and not noun.startswith("use") else "a ") + noun

def articles(text):
    """"a elephant" becomes "an elephant"."""
    return re.sub(r"\b([Aa]) (?=[aeiou])(?!use)", r"\1n ", text)

def cap(s):
    return s[0].upper() + s[1:]

def listing(items):
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]

def people(rng, n):
    return [Person(x) for x in rng.sample(NAMES, n)]

def thing(rng, *others, avoid=()):
    """An object that is held out with none of the others."""
    while True:
        o = rng.choice(OBJECTS)
        if o not in avoid and not any(held(o, x) for x in others):
            return o

def spot(rng, o, avoid=()):
    while True:
        p = rng.choice(PLACES)
        if p not in avoid and not held(o, p):
            return p

def colour(rng, o):
    while True:
        c = rng.choice(COLOURS)
        if not held(o, c):
            return c

def join(rng, lines, keep=1.0):
    """Sentences to a paragraph. A line in brackets is dropped with chance 1 - keep."""
    return " ".join(s[1:-1] if s[0] == "[" else s for s in lines if s[0] != "[" or rng.random() < keep)

# --- stories ---------------------------------------------------------------------------------------

def opening(rng, x):
    job = rng.choice(list(JOBS))
    where = rng.choice(["village", "town", "valley", "city", "castle", "forest"])
    return rng.choice([
        "%s lived in a %s %s." % (x.name, rng.choice(["small", "quiet", "little", "old"]), where),
        "There was once a %s whose name was %s." % ("girl" if x.he == "she" else "boy", x.name),
        "%s was %s. %s lived near the %s." % (x.name, a(job), x.He, where),
        "Once upon a time there was %s called %s." % (a(job), x.name),
        "%s lived with %s %s in %s." % (x.name, x.his, rng.choice(KIN), a(where)),
        "In a %s near the sea there lived %s called %s." % (where, a(job), x.name)])

def closing(rng, x, y=None):
    two = [] if y is None else [
        "From that day on, %s and %s were good friends." % (x.name, y.name),
        "%s thanked %s, and they both laughed." % (x.name, y.name),
        "Then %s and %s walked home together." % (x.name, y.name)]
    return rng.choice(two + [
        "%s was very %s." % (x.name, rng.choice(FEEL_GOOD)), "That night %s slept well." % x.name,
        "%s smiled and went home." % x.name, "And %s never forgot that day." % x.name,
        "When %s told the story at home, everybody laughed." % x.name, "It was a good day for %s." % x.name])

def doc_lost(rng):
    x, y = people(rng, 2)
    o = thing(rng, x.name, y.name)
    p1 = spot(rng, o)
    p2 = spot(rng, o, (p1,))
    p3 = spot(rng, o, (p1, p2))
    c = colour(rng, o)
    return join(rng, [
        *([["[%s]" % opening(rng, x),
            rng.choice(["%s had a %s %s." % (x.name, c, o), "%s loved %s %s %s." % (x.name, x.his, c, o),
                        "Of all things, %s liked %s %s best." % (x.name, x.his, o)]),
            "%s %s could not find the %s." % (rng.choice(TIMES), x.he, o)],
           ["%s %s could not find %s %s." % (rng.choice(TIMES), x.name, x.his, o)]][rng.random() < 0.35]),
        rng.choice(["%s looked %s, but it was not there." % (x.He, p1), "It was not %s." % p1]),
        "[%s looked %s, but there was only dust.]" % (x.He, p2),
        "[%s was very %s.]" % (x.name, rng.choice(FEEL_BAD)),
        rng.choice(["\"Have you seen my %s?\" %s asked %s." % (o, x.he, y.name),
                    "Then %s came by. \"What are you looking for?\" asked %s. \"My %s,\" said %s." % (y.name, y.name, o, x.name)]),
        rng.choice(["\"No,\" said %s, \"but I will help you.\"" % y.name, "\"Let us look together,\" said %s." % y.name,
                    "\"Come with me,\" said %s." % y.name]),
        rng.choice(["They found the %s %s." % (o, p3), "%s looked %s, and there it was." % (y.name, p3),
                    "At last they saw the %s %s." % (o, p3)]),
        rng.choice(["\"Thank you, %s,\" said %s, and took the %s." % (y.name, x.name, o),
                    "%s was glad to have the %s." % (x.name, o),
                    "\"Here is your %s,\" said %s." % (o, y.name)]),
        "[%s]" % closing(rng, x, y)], 0.75)

def doc_market(rng):
    x, y = people(rng, 2)
    f1, f2, f3 = rng.sample(FOODS, 3)
    n = rng.randint(2, 9)
    return join(rng, [
        "[%s]" % opening(rng, x), "[%s]" % rng.choice(WEATHER),
        "%s %s went to the market to buy %s and %s." % (rng.choice(TIMES), x.name, f1, f2),
        rng.choice(["On the way %s met %s." % (x.he, y.name), "At the gate stood %s." % y.name]),
        rng.choice(["\"Where are you going?\" asked %s." % y.name, "\"Good morning, %s,\" said %s." % (x.name, y.name)]),
        "\"I am going to the market,\" said %s. \"I need %s and %s.\"" % (x.name, f1, f2),
        rng.choice(["\"Please bring me some %s,\" said %s." % (f3, y.name), "\"May I come with you?\" asked %s." % y.name]),
        "At the market there were %s, %s and %s." % tuple(rng.sample([f1, f2, f3], 3)),
        "%s paid %s coins for the %s." % (x.name, NUMBERS[n], f1),
        "[The %s was too dear, but the %s was good.]" % (f3, f2),
        "In the evening %s came home with %s and %s." % (x.name, f1, f2), "[%s]" % closing(rng, x, y)], 0.7)

def doc_animal(rng):
    k, other = rng.sample(list(ANIMALS), 2)
    home, food, young, sound, like = ANIMALS[k]
    f = rng.choice(FOODS)
    bad = rng.choice(["hungry", "tired", "lonely", "cold"])
    return join(rng, [
        rng.choice(["A %s lived %s." % (k, home), "Once upon a time there was a %s that lived %s." % (k, home),
                    "There was a %s. It lived %s." % (k, home)]),
        "[The %s was %s.]" % (k, like), "[%s]" % rng.choice(WEATHER),
        "%s the %s was %s." % (rng.choice(TIMES), k, bad),
        "It went to the %s and met a %s." % (rng.choice(SPOTS), other),
        "\"Why are you so sad?\" asked the %s." % other,
        "\"I am %s,\" said the %s." % (bad, k),
        {"hungry": "The %s had some %s and gave half to the %s." % (other, f, k),
         "tired": "\"Lie down and rest,\" said the %s. \"I will watch.\" So the %s slept until morning." % (other, k),
         "lonely": "\"Then stay with me,\" said the %s. So the %s stayed." % (other, k),
         "cold": "\"Come into my house,\" said the %s. There was a fire, and soon the %s was warm." % (other, k)}[bad],
        rng.choice(["After that the %s and the %s were friends." % (k, other),
                    "The %s thanked the %s." % (k, other),
                    "\"You are a good friend,\" said the %s to the %s." % (k, other)]),
        "[A %s that is happy %s.]" % (k, sound)], 0.6)

def doc_gift(rng):
    x, y = people(rng, 2)
    o = thing(rng, x.name, y.name)
    c = colour(rng, o)
    kin = rng.choice(["sister", "brother", "friend", "neighbour", "cousin"])
    return join(rng, [
        "Tomorrow was the birthday of %s." % y.name, "[%s was %s's best friend.]" % (y.name, x.name),
        "%s did not know what to give." % x.name, "[\"What would you like?\" asked %s's mother.]" % x.name,
        rng.choice(["%s thought for a long time." % x.He, "%s asked %s %s." % (x.name, x.his, kin),
                    "%s went from shop to shop." % x.He]),
        rng.choice(["Then %s made a %s %s." % (x.name, c, o), "In the last shop %s found a %s %s." % (x.he, c, o),
                    "At last %s bought a %s %s." % (x.name, c, o)]),
        "[%s put it in a box and tied it with a string.]" % x.He,
        "The next day %s gave the %s to %s." % (x.name, o, y.name),
        rng.choice(["\"What a fine %s!\" said %s." % (o, y.name), "\"It is just what I wanted,\" said %s." % y.name,
                    "%s opened the box and saw the %s." % (y.name, o)]),
        rng.choice(["%s was very happy with the %s." % (y.name, o), "%s still has the %s." % (y.name, o), closing(rng, x, y)])], 0.6)

def doc_learn(rng):
    x, y = people(rng, 2)
    s = rng.choice(SKILLS)
    job = rng.choice(list(JOBS))
    return join(rng, [
        "[%s]" % opening(rng, x), "%s wanted to learn to %s." % (x.name, s),
        rng.choice(["At first it was hard.", "The first try went wrong.", "\"It is too hard,\" said %s." % x.name]),
        "[%s was %s.]" % (x.name, rng.choice(FEEL_BAD)),
        "Then %s went to %s, who was %s." % (x.name, y.name, a(job)),
        rng.choice(["\"Can you teach me to %s?\" asked %s." % (s, x.name), "\"I want to %s like you,\" said %s." % (s, x.name)]),
        rng.choice(["\"You must try every day,\" said %s." % y.name, "\"It takes time,\" said %s. \"Do not give up.\"" % y.name]),
        "So %s tried again every %s." % (x.he, rng.choice(["day", "morning", "evening", "Sunday"])),
        "After %s %s %s could %s." % (NUMBERS[rng.randint(2, 12)], rng.choice(["days", "weeks", "months"]), x.he, s),
        "[\"Now you can %s very well,\" said %s.]" % (s, y.name), closing(rng, x, y)], 0.65)

def doc_storm(rng):
    x, y = people(rng, 2)
    shelter = rng.choice(["barn", "cave", "tower", "mill", "church", "cellar", "old house"])
    food = rng.choice(FOODS)
    return join(rng, [
        "%s and %s were walking through the %s." % (x.name, y.name, rng.choice(SPOTS)),
        rng.choice(["Suddenly the sky grew dark.", "Then a storm came up.", "Black clouds came over the hills."]),
        rng.choice(["It began to rain.", "The wind blew harder and harder.", "There was thunder and lightning."]),
        "\"We must find a dry place,\" said %s." % x.name,
        "They ran to the %s and waited there." % shelter,
        "[%s was afraid, but %s told a story.]" % (y.name, x.name), "[They were hungry, and %s had a little %s. They shared it.]" % (x.name, food),
        rng.choice(["After an hour the rain stopped.", "In the morning the storm was over.", "At last the sun came out again."]),
        rng.choice(["They left the %s and went home." % shelter, "\"That was a long night in the %s,\" said %s." % (shelter, y.name),
                    closing(rng, x, y)])], 0.5)

def doc_trade(rng):
    x, y, z = people(rng, 3)
    o1 = thing(rng, x.name, y.name)
    o2 = thing(rng, x.name, y.name, z.name, avoid=(o1,))
    o3 = thing(rng, x.name, z.name, avoid=(o1, o2))
    return join(rng, [
        "%s had a %s, but %s did not need it." % (x.name, o1, x.he),
        "%s had a %s." % (y.name, o2),
        rng.choice(["\"Will you give me your %s for my %s?\" asked %s." % (o2, o1, x.name), "\"Let us trade,\" said %s." % x.name]),
        "So %s gave the %s to %s and got the %s." % (x.name, o1, y.name, o2),
        "[%s was pleased.]" % y.name,
        "%s %s met %s, who had a %s." % (rng.choice(["Later", "The next day", "On the way home"]), x.he, z.name, o3),
        "They traded too, and now %s had the %s, and %s had the %s." % (z.name, o2, x.name, o3),
        "[In the end everybody was %s.]" % rng.choice(FEEL_GOOD),
        "[At home %s showed the %s to %s %s.]" % (x.name, o3, x.his, rng.choice(KIN))], 0.6)

def doc_quarrel(rng):
    x, y = people(rng, 2)
    o = thing(rng, x.name, y.name)
    w = rng.choice(["grandmother", "grandfather", "teacher", "mother", "father", "aunt"])
    return join(rng, [
        "%s and %s both wanted the %s." % (x.name, y.name, o),
        "\"It is mine,\" said %s." % x.name, "\"No, I had it first,\" said %s." % y.name,
        "[They pulled and shouted.]", "Then their %s came in." % w,
        rng.choice(["\"Do not fight,\" said the %s." % w, "\"What is the matter?\" asked the %s." % w]),
        rng.choice(["\"%s can have the %s in the morning, and %s in the evening.\"" % (x.name, o, y.name),
                    "\"If you cannot share the %s, nobody shall have it.\"" % o]),
        rng.choice(["So they took turns with the %s." % o, "%s gave the %s to %s." % (x.name, o, y.name),
                    "In the end %s and %s played together with the %s." % (x.name, y.name, o)]),
        "[%s]" % closing(rng, x, y)], 0.6)

def doc_garden(rng):
    (x,) = people(rng, 1)
    f = rng.choice(["carrots", "beans", "potatoes", "onions", "tomatoes", "pears", "apples", "berries"])
    n = rng.randint(3, 20)
    return join(rng, [
        opening(rng, x), "Behind the house there was a garden.",
        "In %s %s planted %s." % (rng.choice(["March", "April", "May"]), x.he, f),
        "[Every day %s gave them water.]" % x.he, "[The sun was warm, and the %s grew.]" % f,
        "[A %s came and wanted to eat the %s, but %s saw it in time.]" % (rng.choice(["rabbit", "crow", "goat", "deer", "hen"]), f, x.name),
        "In %s there were %s baskets of %s." % (rng.choice(["August", "September", "October"]), NUMBERS[n], f),
        rng.choice(["%s gave %s of them to %s %s and kept %s." % (x.name, NUMBERS[k], x.his, rng.choice(KIN), NUMBERS[n - k])
                    for k in [rng.randint(1, n - 1)]]),
        closing(rng, x)], 0.6)

def doc_letter(rng):
    x, y = people(rng, 2)
    o = thing(rng, x.name, y.name)
    return "Dear %s,\n%s\nYours,\n%s" % (y.name, join(rng, [
        rng.choice(["How are you?", "I hope you are well.", "Thank you for your letter."]),
        "[%s]" % rng.choice(WEATHER),
        rng.choice(["Yesterday I was in the %s with my %s." % (rng.choice(SPOTS), rng.choice(KIN)),
                    "I am learning to %s." % rng.choice(SKILLS), "Here we eat %s every day." % rng.choice(FOODS),
                    "I saw a %s %s." % (rng.choice(list(ANIMALS)), rng.choice(["by the road", "near our house", "from the window"]))]),
        "[Do you remember the old %s? I have it still.]" % o,
        rng.choice(["Please come and visit us in %s." % rng.choice(MONTHS), "I hope to see you on %s." % rng.choice(DAYS),
                    "Please write to me soon."])], 0.6), x.name)

def doc_house(rng):
    (x,) = people(rng, 1)
    c, d = rng.sample(COLOURS, 2)
    n = rng.randint(2, 12)
    return join(rng, [
        "The house of %s stands near the %s." % (x.name, rng.choice(SPOTS)),
        "It has %s windows and a %s door." % (NUMBERS[n], c), "The roof is %s." % d,
        "[In front of the house there is %s tree.]" % a(rng.choice(["old", "apple", "pear", "tall"])),
        "[Inside there is a warm stove.]",
        "[%s lives there with %s %s and a %s.]" % (x.name, x.his, rng.choice(KIN), rng.choice(["dog", "cat", "goat", "hen", "goose"])),
        "[In the evening %s sits by the fire and %s.]" % (x.name, rng.choice(["reads", "sings", "tells stories", "drinks tea"])),
        "Everybody in the %s knows the %s door." % (rng.choice(["village", "town", "valley"]), c)], 0.6)

def doc_person(rng):
    (x,) = people(rng, 1)
    job = rng.choice(list(JOBS))
    f1, f2 = rng.sample(FOODS, 2)
    return join(rng, [
        "%s is %s." % (x.name, a(job)), cap(a(job)) + " %s." % JOBS[job],
        "%s gets up at %s o'clock." % (x.He, NUMBERS[rng.randint(4, 9)]),
        "[For breakfast %s eats %s and %s.]" % (x.he, f1, f2),
        "[%s likes %s work.]" % (x.name, x.his), "[On %s %s does not work.]" % (rng.choice(DAYS), x.he),
        "[Then %s likes to %s.]" % (x.he, rng.choice(SKILLS)),
        "In the evening %s is %s." % (x.name, rng.choice(["tired", "happy", "at home", "with friends"]))], 0.65)

def doc_diary(rng):
    (x,) = people(rng, 1)
    days = rng.sample(range(7), rng.randint(2, 4))
    out = ["The diary of %s" % x.name]
    for d in sorted(days):
        o = thing(rng, x.name)
        out.append("%s: %s" % (DAYS[d], join(rng, [
            "[%s]" % rng.choice(WEATHER),
            rng.choice(["I went to the %s with my %s." % (rng.choice(SPOTS), rng.choice(KIN)), "I cleaned my old %s." % o,
                        "I tried to %s." % rng.choice(SKILLS), "I met %s, who is %s." % (people(rng, 1)[0].name, a(rng.choice(list(JOBS)))),
                        "I bought %s at the market." % rng.choice(FOODS), "I stayed at home and read."]),
            "[I was %s.]" % rng.choice(FEEL_GOOD + FEEL_BAD), "[We had %s and %s for dinner.]" % tuple(rng.sample(FOODS, 2))], 0.5)))
    return "\n".join(out)

def doc_who(rng):
    """Two or three people, what they are and like; then who was who."""
    ps = people(rng, rng.randint(2, 3))
    jobs = rng.sample(list(JOBS), len(ps))
    likes = rng.sample(FOODS, len(ps))
    lines = ["%s is %s and likes %s." % (p.name, a(j), f) for p, j, f in zip(ps, jobs, likes)]
    i = rng.randrange(len(ps))
    q = rng.choice([("Who is the %s?" % jobs[i], "The %s is %s." % (jobs[i], ps[i].name)),
                    ("Who likes %s?" % likes[i], "%s likes %s." % (ps[i].name, likes[i])),
                    ("What does %s like?" % ps[i].name, "%s likes %s." % (ps[i].name, likes[i]))])
    if rng.random() < 0.5:
        return " ".join(lines) + "\n\nQuestion: %s\nAnswer: %s" % q
    return "User: %s %s\n\nAssistant: %s" % (" ".join(lines), *q)

# --- facts -----------------------------------------------------------------------------------------

def doc_animal_facts(rng):
    k = rng.choice(list(ANIMALS))
    home, food, young, sound, like = ANIMALS[k]
    lines = ["The %s lives %s." % (k, home), "It eats %s." % food, "A young %s is called a %s." % (k, young),
             "The %s is %s." % (k, like), "A %s %s." % (k, sound)]
    first, rest = lines[0], lines[1:]
    rng.shuffle(rest)
    return " ".join([first] + rest[:rng.randint(2, 4)])

def fact(rng):
    """One true question with its answer."""
    kind = rng.randint(0, 9)
    if kind <= 2:
        return rng.choice(FACTS)
    if kind == 3:
        c, k = rng.choice(CAPITALS)
        return "What is the capital of %s?" % c, "The capital of %s is %s." % (c, k)
    if kind == 4:
        p, q = rng.choice(OPPOSITES)
        p, q = (p, q) if rng.random() < 0.5 else (q, p)
        return "What is the opposite of %s?" % p, "The opposite of %s is %s." % (p, q)
    if kind == 5:
        k = rng.choice(list(ANIMALS))
        home, food, young, sound, like = ANIMALS[k]
        return rng.choice([("Where does a %s live?" % k, "A %s lives %s." % (k, home)), ("What does a %s eat?" % k, "A %s eats %s." % (k, food)),
                           ("What do we call a young %s?" % k, "A young %s is called a %s." % (k, young)),
                           ("What does a %s do?" % k, "A %s %s." % (k, sound))])
    if kind == 6:
        i = rng.randint(0, 6)
        return rng.choice([("What day comes after %s?" % DAYS[i], "After %s comes %s." % (DAYS[i], DAYS[(i + 1) % 7])),
                           ("What day comes before %s?" % DAYS[i], "Before %s comes %s." % (DAYS[i], DAYS[i - 1]))])
    if kind == 7:
        i = rng.randint(0, 11)
        return "What month comes after %s?" % MONTHS[i], "After %s comes %s." % (MONTHS[i], MONTHS[(i + 1) % 12])
    if kind == 8:
        job = rng.choice(list(JOBS))
        return "What does %s do?" % a(job), cap(a(job)) + " %s." % JOBS[job]
    m, n = rng.randint(0, 10), rng.randint(0, 10)
    if rng.random() < 0.5:
        return "What is %d + %d?" % (m, n), "%d + %d = %d." % (m, n, m + n)
    return "What is %s and %s?" % (NUMBERS[m], NUMBERS[n]), "%s and %s is %s." % (cap(NUMBERS[m]), NUMBERS[n], NUMBERS[m + n])

def doc_quiz(rng):
    pairs = [fact(rng) for _ in range(rng.randint(2, 5))]
    style = rng.randint(0, 1)
    if style:
        return "\n\n".join("Question: %s\nAnswer: %s" % p for p in pairs)
    return "\n\n".join("User: %s\n\nAssistant: %s" % p for p in pairs)

def doc_series(rng):
    kind = rng.randint(0, 4)
    if kind == 0:
        i, n = rng.randint(0, 10), rng.randint(4, 10)
        return "Count from %s to %s: " % (NUMBERS[i], NUMBERS[i + n]) + ", ".join(NUMBERS[i:i + n + 1]) + "."
    if kind == 1:
        i, n = rng.randint(0, 90), rng.randint(4, 9)
        return "Count from %d to %d: " % (i, i + n) + ", ".join(str(k) for k in range(i, i + n + 1)) + "."
    if kind == 2:
        return "The days of the week are " + listing(DAYS) + "."
    if kind == 3:
        return "The months of the year are " + listing(MONTHS) + "."
    o = rng.sample(FOODS, rng.randint(3, 6))
    return "Shopping list:\n" + "\n".join("- %s" % f for f in o)

def doc_chat(rng):
    """User and assistant, one to three turns."""
    (x,) = people(rng, 1)
    turns = [rng.choice([("Hello!", "Hello! How can I help you?"), ("Good morning.", "Good morning! What can I do for you?"),
                         ("Hi, my name is %s." % x.name, "Hello %s, it is nice to meet you." % x.name)])] if rng.random() < 0.6 else []
    told = bool(turns) and x.name in turns[0][0]
    for _ in range(rng.randint(1, 2)):
        kind = rng.randint(-1 if told else 0, 3)
        if kind < 0:
            turns.append((rng.choice(["What is my name?", "Do you remember my name?"]), "Your name is %s." % x.name))
        elif kind == 0:
            turns.append(fact(rng))
        elif kind == 1:
            turns.append((rng.choice(["Tell me a story.", "Please tell me a short story.", "Can you tell me a story?"]),
                          rng.choice(STORIES)(rng)))
        elif kind == 2:
            k = rng.choice(list(ANIMALS))
            turns.append((rng.choice(["Tell me about the %s.", "What do you know about the %s?"]) % k,
                          "The %s lives %s. It eats %s. A young %s is called a %s." % (k, *ANIMALS[k][:2], k, ANIMALS[k][2])))
        else:
            f = rng.sample(FOODS, 3)
            turns.append((rng.choice(["What can I cook with %s and %s?" % (f[0], f[1]), "I have %s and %s. What can I make?" % (f[0], f[1])]),
                          "You can make a meal of %s and %s. %s" % (f[0], f[1], rng.choice(["Add some %s." % f[2], "It is good with %s." % f[2]]))))
    if rng.random() < 0.4:
        turns.append(("Thank you.", rng.choice(["You are welcome.", "You are welcome!", "I am glad I could help."])))
    return "\n\n".join("User: %s\n\nAssistant: %s" % t for t in turns)

# --- reading: the answer stands in the text ----------------------------------------------------------

def reading(rng, kind, n, gold=None):
    """A passage of n facts about different objects. Returns passage, [(object, answer)] in passage order, question form.
    gold: a (object, other) pair that must be among the facts; all other pairs are free of held-out ones."""
    pool = {"where": PLACES, "who": NAMES, "colour": COLOURS}[kind]
    facts, used = ([gold] if gold else []), set(gold or ())
    while len(facts) < n:
        o, other = rng.choice(OBJECTS), rng.choice(pool)
        if not {o, other} & used and not held(o, other):
            facts.append((o, other))
            used |= {o, other}
    rng.shuffle(facts)
    lines = []
    for o, other in facts:
        if kind == "where":
            who = rng.choice([x for x in NAMES if x not in used and not held(o, x)])
            used.add(who)
            form = rng.choice(["%(who)s put the %(o)s %(x)s.", "The %(o)s is %(x)s.", "%(who)s left the %(o)s %(x)s.", "%(who)s hid the %(o)s %(x)s."])
        elif kind == "who":
            who = ""
            form = rng.choice(["%(x)s has the %(o)s.", "%(x)s took the %(o)s.", "The %(o)s belongs to %(x)s.", "%(x)s found the %(o)s."])
        else:
            who = ""
            form = rng.choice(["The %(o)s is %(x)s.", "There is a %(x)s %(o)s.", "I saw a %(x)s %(o)s."])
        lines.append(form % {"o": o, "x": other, "who": who})
    ask = {"where": "Where is the %s?", "who": "Who has the %s?", "colour": "What colour is the %s?"}[kind]
    return articles(" ".join(lines)), facts, ask

def doc_reading(rng):
    kind = rng.choice(["where", "where", "who", "colour"])
    passage, facts, ask = reading(rng, kind, rng.randint(2, 5))
    asked = rng.sample(facts, rng.randint(1, min(3, len(facts))))
    if rng.random() < 0.7:
        return passage + "".join("\n\nQuestion: %s\nAnswer: %s." % (ask % o, x) for o, x in asked)
    say = {"where": "The %s is %s.", "who": "%s has the %s.", "colour": "The %s is %s."}[kind]
    out = []
    for i, (o, x) in enumerate(asked):
        q = (passage + " " if i == 0 else "") + ask % o
        out.append("User: %s\n\nAssistant: %s" % (q, say % ((x, o) if kind == "who" else (o, x))))
    return "\n\n".join(out)

STORIES = [doc_lost, doc_lost, doc_market, doc_animal, doc_gift, doc_learn, doc_storm, doc_trade, doc_quarrel, doc_garden]
KINDS = [(doc_lost, 8), (doc_market, 5), (doc_animal, 6), (doc_gift, 5), (doc_learn, 5), (doc_storm, 5), (doc_trade, 5),
         (doc_quarrel, 4), (doc_garden, 4), (doc_letter, 4), (doc_diary, 4), (doc_who, 4), (doc_house, 3), (doc_person, 4), (doc_animal_facts, 2),
         (doc_quiz, 6), (doc_series, 1), (doc_chat, 10), (doc_reading, 24)]

def write(rng, kinds=KINDS):
    """One document without held-out combinations."""
    makers, weights = zip(*kinds)
    while True:
        text = articles(rng.choices(makers, weights)[0](rng))
        if clean(text):
            return text
