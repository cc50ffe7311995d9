// Common Spanish words for the typing test.
export default `
que los las por una con para como más pero sus este entre cuando muy sin sobre también hasta
donde quien desde todo nos durante todos uno ser estar tener hacer poder decir ver dar saber
querer llegar pasar deber poner parecer quedar creer hablar llevar dejar seguir encontrar
llamar venir pensar salir volver tomar conocer vivir sentir tratar mirar contar empezar esperar
buscar existir entrar trabajar escribir perder producir ocurrir entender pedir recibir recordar
terminar permitir aparecer conseguir comenzar servir sacar necesitar mantener leer caer cambiar
presentar crear abrir considerar oír tiempo año día vida hombre mujer mundo casa mano parte
ciudad pueblo agua tierra noche mañana tarde camino puerta calle libro palabra carta voz luz
sol luna mar viento lluvia fuego árbol flor jardín mesa padre madre hermano amigo amor
corazón cabeza cuerpo cara país guerra paz trabajo escuela pregunta idea razón fuerza grande
pequeño bueno mejor nuevo viejo joven largo corto alto blanco negro rojo verde azul solo mismo
otro primero último siempre nunca ahora luego después antes aquí allí cerca lejos bien mal
mucho poco
`.trim().split(/\s+/);
