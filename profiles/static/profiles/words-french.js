// Common French words for the typing test.
export default `
le la les des une est dans que qui pour pas sur avec plus tout faire son mais comme être avoir
dire aller voir savoir pouvoir vouloir venir prendre trouver donner parler mettre passer
regarder aimer croire demander rester répondre entendre penser arriver connaître devenir
sentir sembler tenir comprendre rendre attendre sortir vivre entrer reprendre porter chercher
revenir appeler mourir partir jeter suivre écrire montrer tomber ouvrir arrêter perdre
commencer paraître marcher lever permettre asseoir cacher bonjour monde homme femme enfant
jour temps année main chose vie yeux heure porte maison ville terre eau soleil nuit matin soir
lune mer vent pluie feu arbre fleur jardin rue chemin livre lettre mot voix table chambre père
mère frère ami amour coeur tête corps visage pays guerre paix travail école question idée
raison force grand petit bon beau vieux jeune nouveau long court haut blanc noir rouge vert
bleu seul même autre premier dernier toujours jamais souvent encore déjà bientôt aussi bien
mal très trop peu beaucoup ici ailleurs près loin avant après pendant depuis sous entre
contre sans chez vers
`.trim().split(/\s+/);
