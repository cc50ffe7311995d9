// Common German words for the typing test.
export default `
und der die das nicht ein eine ist sich mit auf für von dem den sie wir ich auch noch nach bei
aus wenn nur man sein haben werden können müssen sagen machen geben kommen wollen gehen
wissen sehen lassen stehen finden bleiben liegen heißen denken nehmen tun dürfen glauben
halten nennen mögen zeigen führen sprechen bringen leben fahren meinen fragen kennen gelten
stellen spielen arbeiten brauchen folgen lernen bestehen verstehen setzen bekommen beginnen
erzählen versuchen schreiben laufen erklären sitzen ziehen scheinen fallen gehören entstehen
erhalten treffen suchen legen handeln erreichen tragen schaffen lesen verlieren Jahr Zeit Tag
Mensch Kind Frau Mann Leben Haus Welt Land Hand Stadt Teil Frage Arbeit Wasser Weg Auge Kopf
Wort Buch Seite Stunde Woche Freund Tür Abend Morgen Licht Straße Schule Brief Stimme Sommer
Winter Baum Wald Fluss Berg Himmel Sonne Regen Wind Tisch Brot gut groß klein neu alt lang
kurz schön hoch jung schnell langsam warm kalt hell früh spät immer wieder hier dort jetzt
dann schon sehr viel wenig mehr ganz über unter zwischen durch gegen ohne während
`.trim().split(/\s+/);
