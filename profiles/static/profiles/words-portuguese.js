// Common Portuguese words for the typing test.
export default `
que não uma com para por mais como mas foi ele das tem seu sua ser quando muito nos já está
também pelo até isso ela entre depois sem mesmo aos ter estar fazer poder dizer dar ver saber
querer ficar dever passar vir chegar falar deixar encontrar levar começar partir pensar olhar
voltar achar entrar tomar conhecer viver sentir contar esperar buscar existir trabalhar
escrever perder ouvir entender pedir receber lembrar acabar permitir aparecer conseguir servir
tirar precisar manter ler cair mudar criar abrir tempo ano dia vida homem mulher mundo casa
mão parte cidade povo água terra noite manhã tarde caminho porta rua livro palavra carta voz
luz sol lua mar vento chuva fogo árvore flor jardim mesa pai mãe irmão amigo amor coração
cabeça corpo rosto país guerra paz trabalho escola pergunta ideia razão força grande
pequeno bom melhor novo velho jovem longo curto alto branco preto vermelho verde azul outro
primeiro último sempre nunca agora logo antes aqui ali perto longe bem mal pouco ainda cedo
talvez assim quase sob sobre
`.trim().split(/\s+/);
