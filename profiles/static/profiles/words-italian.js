// Common Italian words for the typing test.
export default `
che non una per con del sono come più questo quando molto anche della nella tutto essere avere
fare dire potere volere sapere stare dovere vedere andare venire dare parlare trovare sentire
lasciare prendere guardare mettere pensare passare credere portare tornare sembrare tenere
capire morire chiamare conoscere rimanere chiedere cercare entrare vivere aprire uscire
ricordare bisognare cominciare rispondere aspettare riuscire chiudere arrivare diventare
cambiare correre restare scrivere leggere perdere finire tempo anno giorno vita uomo donna
mondo casa mano parte città paese acqua terra notte mattina sera strada porta via libro parola
lettera voce luce sole luna mare vento pioggia fuoco albero fiore giardino tavola padre madre
fratello amico amore cuore testa corpo viso guerra pace lavoro scuola domanda idea ragione
forza grande piccolo buono migliore nuovo vecchio giovane lungo corto alto bianco nero rosso
verde blu solo stesso altro primo ultimo sempre mai adesso poi dopo prima qui vicino lontano
bene male poco troppo ancora già presto tardi forse così perché però quasi senza sotto sopra
`.trim().split(/\s+/);
