"""The small language of questions as tables: templates, and words for what is described.

Blanks: {x} "the red mug", {a} "a red mug", {xs} "red mugs", {n} "red mug", {p} and {q} "[1]",
{then} a request to outline, {where} {there} {here} the images that are covered.
"""

THINGS = ("thing", "object")
PATTERN_WORDS = {"plain": ("plain",), "striped": ("striped",), "dotted": ("dotted", "spotted")}
PATTERN_TAILS = {"striped": "with stripes", "dotted": "with dots"}
RELATIONS = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "higher than"),
    "below": ("below", "lower than"),
}
EXTREMES = {
    "leftmost": ("leftmost {}",),
    "rightmost": ("rightmost {}",),
    "highest": ("highest {}", "topmost {}"),
    "lowest": ("lowest {}", "bottom {}"),
    "largest": ("largest {}", "biggest {}"),
    "smallest": ("smallest {}", "tiniest {}"),
}
EXTREME_TAILS = {  # only behind a noun that has no tail yet
    "leftmost": ("{} furthest to the left", "{} on the far left"),
    "rightmost": ("{} furthest to the right", "{} on the far right"),
    "highest": ("{} nearest the top",),
    "lowest": ("{} nearest the bottom",),
}
ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth"}
FROM = {"left": "left", "right": "right", "above": "top", "below": "bottom"}
MOTION_TAILS = {
    "moves left": ("that moves left", "moving left", "going to the left"),
    "moves right": ("that moves right", "moving right", "going to the right"),
    "moves up": ("that moves up", "moving up", "going up"),
    "moves down": ("that moves down", "moving down", "going down"),
    "stays": ("that stays where it is", "that does not move", "that stands still"),
    "turns back": ("that turns back", "that turns around", "that goes back again"),
    "leaves": ("that leaves", "that goes out of the picture", "that goes away"),
    "leaves and returns": ("that leaves and returns", "that goes away and comes back"),
    "enters late": ("that enters late", "that comes in later"),
    "moves fastest": ("that moves fastest", "that is fastest"),
    "enters first": ("that enters first", "that comes in first"),
    "enters second": ("that enters second", "that comes in second"),
    "enters third": ("that enters third", "that comes in third"),
}

PART_PLURALS = {"body": "bodies", "leaf": "leaves"}
IN_PICTURE = ("", "", " in the picture", " here")
EVERYWHERE = (" in all images", " over all images", " in these images")
ANYWHERE = ("", " in any image", " in one of the images", " in these images")
NOWHERE = ("", " in these images")

REQUESTS = (
    "outline {x}",
    "segment {x}",
    "find {x}",
    "show me {x}",
    "mark {x}",
    "point out {x}",
    "highlight {x}",
    "please outline {x}",
    "please segment {x}",
    "can you find {x}?",
    "could you point out {x}?",
    "where {is} {x}?",
    "which pixels show {x}?",
    "{x}",
    "{x}, please",
    "now outline {x}",
    "let me see {x}",
    "look for {x}",
    "outline {x} only",
    "just mark {x}",
    "I look for {x}",
    "would you highlight {x}?",
    "{x}: outline {it}",
    "what I look for is {x}",
    "this is about {x}: mark {it}",
    "I mean {x}",
)
A_REQUESTS = (  # for what is described by itself: not "a largest mug"
    "find {a}",
    "outline {a}",
    "somewhere there is {a}: find it",
    "look for {a} and mark it",
    "here you see {a}. Segment it",
    "I see {a}. Which pixels?",
    "point out {a}, please",
)
IF_ANY = (
    "is there {a}{there}? outline it",
    "can you see {a}{there}? segment it",
    "outline {a}{there}, if you see one",
    "please find {a}{there}",
    "do you see {a}{there}? mark it",
    "segment {a}{there}",
)
IF_ANY_PART = (
    "outline {a}{there}",
    "can you see {a}{there}? segment {it}",
    "please find {a}{there}",
    "do you see {a}{there}? mark {it}",
    "segment {a}{there}",
)
THEN = ("outline {it}", "segment {it}", "mark {it}", "highlight {it}", "please outline {it}")

TEMPLATES: dict[str, tuple[str, ...]] = {
    "one": REQUESTS,
    "each": REQUESTS,
    "all": (
        "outline all {xs}{where}",
        "segment all {xs}{where}",
        "show me all the {xs}{where}",
        "mark every {n}{where}",
        "find each {n}{where}",
        "please segment every {n}{where}",
        "can you outline all the {xs}{where}?",
        "all {xs}{where}",
        "where are all the {xs}{where}?",
        "every {n}{where}, please",
        "let me see all {xs}{where}",
        "I look for all {xs}{where}",
    ),
    "parts": (
        "outline every part of {x}",
        "segment all parts of {x}",
        "show me the parts of {x}",
        "please mark each part of {x}",
        "take {x} apart: outline every part",
        "all parts of {x}",
        "which parts does {x} have? Outline each",
    ),
    "which image": (
        "which image shows {a}? {then}",
        "in which image is there {a}? {then}",
        "which image has {a}? {then}",
        "find the image with {a}. {then}",
        "there is {a} in one of the images: in which? {then}",
        "which of the images shows {a}? {then}",
        "I look for {a}. Which image is it in? {then}",
    ),
    "which image, the": (
        "which image shows {x}? {then}",
        "in which image is {x}? {then}",
        "which image holds {x}? {then}",
        "which of the images shows {x}? {then}",
        "{x}: which image is it in? {then}",
    ),
    "count": (
        "how many {xs} are there{where}? {then}",
        "how many {xs} do you see{where}? {then}",
        "count the {xs}{where}. {then}",
        "number of {xs}{where}? {then}",
        "please count all {xs}{where}. {then}",
        "tell me how many {xs} there are{where}. {then}",
        "how many {xs}{where}? {then}",
    ),
    "more": (
        "which image has {most} {xs}? {then}",
        "in which image are there {most} {xs}? {then}",
        "where are there {most} {xs}, in which image? {then}",
        "which of the images has {most} {xs}? {then}",
    ),
    "images": (
        "in how many images is there {a}? {then}",
        "how many images show {a}? {then}",
        "how many images have {a}? {then}",
        "count the images with {a}. {then}",
    ),
    "category": (
        "what is {x}? {then}",
        "what kind of thing is {x}? {then}",
        "name {x}. {then}",
        "tell me what {x} is. {then}",
    ),
    "category, use": (
        "what can I {use}{here}? {then}",
        "what could you {use}{here}? {then}",
        "what is there to {use}{here}? {then}",
    ),
    "colour": (
        "what colour {is} {x}? {then}",
        "which colour {does} {x} have? {then}",
        "name the colour of {x}. {then}",
        "colour of {x}? {then}",
        "tell me the colour of {x}. {then}",
        "{x}: which colour? {then}",
    ),
    "exists": (
        "is there {a}{there}?",
        "do you see {a}{there}?",
        "can you see {a}{there}?",
        "tell me whether there is {a}{there}",
    ),
    "side": (
        "is {x} {side} {y}?",
        "{x}: is it {side} {y}?",
        "does {x} lie {side} {y}?",
        "tell me whether {x} is {side} {y}",
    ),
    "again": (
        "find {x} in the other images",
        "where else do you see {x}? outline it in the other images",
        "segment the same {n} as {x} in the other images",
        "outline {x} again in the other images",
        "mark {x} wherever it returns",
        "I want to see {x} in the other images and nothing else",
    ),
    "again which": (
        "in which other image is {x}? {then}",
        "which other image shows {x}? {then}",
        "in which other image does {x} return? {then}",
    ),
    "again number": (
        "in how many other images is {x}? {then}",
        "how many other images show {x}? {then}",
        "in how many other images does {x} return? {then}",
    ),
    "outline": (
        "outline {p}",
        "segment {p}",
        "mark {p}",
        "please outline {p}",
        "show me {p}",
        "let me see {p}",
    ),
    "told category": (
        "what is {p}? {then}",
        "name {p}. {then}",
        "what kind of thing is {p}? {then}",
        "what do you see at {p}? {then}",
    ),
    "told colour": (
        "what colour is {p}? {then}",
        "which colour does {p} have? {then}",
        "name the colour of {p}. {then}",
    ),
    "told part": (
        "which part is {p}? {then}",
        "what part is {p}? {then}",
        "name the part at {p}. {then}",
        "which part of the {n} is {p}? {then}",
    ),
    "told where": (
        "where is {p} relative to {q}? {then}",
        "on which side of {q} is {p}? {then}",
        "how does {p} lie relative to {q}? {then}",
    ),
    "told side": ("is {p} {side} {q}? {then}", "does {p} lie {side} {q}? {then}"),
    "told alike, category": (
        "is {p} the same kind of thing as {q}? {then}",
        "are {p} and {q} things of one kind? {then}",
    ),
    "told alike, colour": (
        "does {p} have the same colour as {q}? {then}",
        "are {p} and {q} of one colour? {then}",
    ),
    "told larger": ("is {p} larger than {q}? {then}", "is {p} bigger than {q}? {then}"),
    "told motion": ("does {p} {verb}? {then}", "say whether {p} {motion}. {then}"),
    "told direction": (
        "which way does {p} move? {then}",
        "where does {p} go? {then}",
        "in which direction does {p} move? {then}",
    ),
    "told number, category": (
        "how many things of the same kind as {p} are there, {p} included? {then}",
        "count the things of the same kind as {p}, with {p}. {then}",
    ),
    "told number, colour": (
        "how many things have the colour of {p}, {p} included? {then}",
        "count the things of the colour of {p}, with {p}. {then}",
    ),
}
NEW_FORMS = (  # only ``compose`` speaks so; every word is one that training knows
    "there is {a} here: outline it",
    "I want to see {x}",
    "you can see {a} in the picture: segment it",
    "{x}: where is it?",
    "mark {x} and nothing else",
    "what I want to see is {x}",
)
VERBS = {
    "stays": "stand still",
    "turns back": "turn back",
    "leaves": "leave the picture",
    "leaves and returns": "leave and return",
    "enters late": "enter late",
    "moves fastest": "move fastest",
    "enters first": "enter first",
    "enters second": "enter second",
    "enters third": "enter third",
} | {f"moves {way}": f"move {way}" for way in ("left", "right", "up", "down")}
GRAMMAR = (  # what is put between the blanks, and what answers say beside
    "a an the and with whose is are it them do does that you can could to something of things",
    "objects from more the most each how many there is no in any image the answer is yes no they",
    "first second third fourth left right up down above below moves 0 1 2 3 4 5 6",
)
TABLES = (
    THINGS,
    PATTERN_WORDS,
    PATTERN_TAILS,
    RELATIONS,
    EXTREMES,
    EXTREME_TAILS,
    ORDINALS,
    FROM,
    MOTION_TAILS,
    PART_PLURALS,
    IN_PICTURE,
    EVERYWHERE,
    ANYWHERE,
    NOWHERE,
    REQUESTS,
    A_REQUESTS,
    IF_ANY,
    IF_ANY_PART,
    THEN,
    TEMPLATES,
    NEW_FORMS,
    VERBS,
    tuple(MOTION_TAILS),
    GRAMMAR,
)
