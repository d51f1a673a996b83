"""Short English words that are also abbreviations in capitals: AS (aortic stenosis) is not meant by "as".

With ``case: smart`` such an abbreviation is only found as the dictionary writes it. The list holds the frequent English
words of two to five letters; others cost nothing here, since they are no abbreviation in use.
"""

_WORDS = """
a able ace ache add age ago aid aids aim air all am an and any ape apt arc are arm art as ash ask at ate aunt away
axe bad bag ball ban bar bare base bat bath be bear beat bed bee bell bend best bet bid big bill bit blow blue bone
born both box boy bus but buy by cab call cam came camp can cap car card care cart case cash cast cat cave cell
chest chip clan clap clear clip close code cold come cool cop cope core cost cot cow cram cry cup cut dad dam damp
dare dart dash date day dead deal deep den did die diet dig dim dip do doc does dog done door dose down draw drop
drug dry due ear early ease east easy eat egg ego end eye face fact fail fair fall far farm fast fat fear feed
feel felt few file fill film fin find fine fire firm fish fit fix flap flow fly foot for form four free from full
fun gain gap gas gave get give glad go goal goes gold gone good got grace grade grip grow gum gut had hair half
hall ham hand hard harm has hat have he head heal heart heat help hen her here hid high him hint hip his hit hold
home hope hot hour how hurt ice if ill in inch is it item its jam jar jaw job join joint jump just keep kept key
kid kill kin kind know lab lack lad lag lamp land lap last late lay lead lean leg lens less let lid lie life lift
light like limb limp line lip list live load lone long look lose loss lost lot low lung mad made mail main make
male man many map mars mask mass mat may me meal mean meat meet men mend mild milk mine miss mix mole more most
move much must my nail name near neck need nerve net new next no node none nor nose not note now nut of off oil
old on once one only open or oral other our out over own pace pack pad pain pair pale palm pan part pass past pat
path pay peak peg pen pet pick pie pill pin pit plan play plus pole pool poor port post pour press pull pulse pump
push put rad raid ram ran rare rash rate raw reach read rear red rest rib rice rich rid ride right ring rise risk
road role room root rub run sad safe said same sat save saw say scan scar see seek seen self send set she short
shot show shy sick side sign sip sit site six size skin slip slow small smart so soap soft sole some son soon sore
spa span spin spot stab star start stay stem step still stop such sum sun sure tab tag tail take talk tall tan tap
tear tell ten test than that the them then they thin this tic tie tilt time tip tired to toe told ton too took
tool top tore total toy trace track trap tray tree trial trim trip true try tub tube turn twice two type under up
us use van vast vein very view wait walk wall war warm was wash watch way we weak wear web week well went were wet
what when who why wide wife will win with word work worn wound wrap yes yet you young zone
"""
ORDINARY = frozenset(_WORDS.split())
