/** The sentences of the sign-in, in the languages of the app. */

const english = {
  title: "Sign in to Buzz",
  intro: "Messages between you, the people you know and the companies you deal with.",
  withProvider: (name) => `Sign in with ${name}`,
  signOutOf: (name) => `Sign out of ${name} to use another account`,
  demoTitle: "Demo people",
  demoNote: "This server runs in development mode: choose who you want to be. Another tab can be somebody else.",
  tokenTitle: "Use an access token",
  tokenLabel: "Access token",
  tokenNote: "The token stays in this tab and is forgotten when you close it.",
  signIn: "Sign in",
  wait: "Signing in…",
  nothingOffered: "This server names no identity provider, so you need an access token. Ask whoever runs the server.",
  person: (id) => `Person ${id}`,
  noAnswer: "The server did not answer. Check your connection, and try again.",
  badAnswer: (status) => `The server answered with the error ${status}. Try again later.`,
  noToken: "This is not a token: a token is one word of letters, digits and dots.",
  tokenRefused: (why) => `The server does not accept this token${why ? `: ${why}` : "."}`,
  notAPerson: "This token belongs to a service. Use the token of a person.",
  tokenEnded: "The access token has ended. Sign in again.",
  providerEnded: "Your sign-in has ended. Sign in again.",
  signedOutElsewhere: "You signed out in another window. Sign in again.",
  providerUnread: (why) => `Signing in with the identity provider is not possible now: ${why}`,
  notBegunHere: "This sign-in was not begun in this window, or it was finished before. Sign in again.",
  anotherProvider: "The answer came from another identity provider than the one you chose. Sign in again.",
  denied: (name) => `${name} did not sign you in: you cancelled, or you may not use Buzz.`,
  providerRefused: (name, why) => `${name} refused the sign-in (${why}). Tell whoever runs the server.`,
  providerSilent: (name) => `${name} did not answer. Check your connection, and try again.`,
  noAccessToken: (name) => `${name} answered without an access token. Tell whoever runs the server.`,
  badIdToken: (name) => `The answer of ${name} is not for this sign-in. Sign in again.`,
}

/** @type {typeof english} */
const spanish = {
  title: "Iniciar sesión en Buzz",
  intro: "Mensajes entre tú, la gente que conoces y las empresas con las que tratas.",
  withProvider: (name) => `Iniciar sesión con ${name}`,
  signOutOf: (name) => `Cerrar la sesión en ${name} para usar otra cuenta`,
  demoTitle: "Personas de prueba",
  demoNote: "Este servidor está en modo de desarrollo: elige quién quieres ser. Otra pestaña puede ser otra persona.",
  tokenTitle: "Usar un token de acceso",
  tokenLabel: "Token de acceso",
  tokenNote: "El token se queda en esta pestaña y se olvida cuando la cierras.",
  signIn: "Iniciar sesión",
  wait: "Iniciando sesión…",
  nothingOffered:
    "Este servidor no nombra ningún proveedor de identidad, así que necesitas un token de acceso. Pídelo a quien lleva el servidor.",
  person: (id) => `Persona ${id}`,
  noAnswer: "El servidor no ha respondido. Comprueba tu conexión e inténtalo de nuevo.",
  badAnswer: (status) => `El servidor ha respondido con el error ${status}. Inténtalo más tarde.`,
  noToken: "Esto no es un token: un token es una palabra de letras, cifras y puntos.",
  tokenRefused: (why) => `El servidor no acepta este token${why ? `: ${why}` : "."}`,
  notAPerson: "Este token es de un servicio. Usa el token de una persona.",
  tokenEnded: "El token de acceso ha caducado. Inicia sesión de nuevo.",
  providerEnded: "Tu sesión ha caducado. Inicia sesión de nuevo.",
  signedOutElsewhere: "Has cerrado la sesión en otra ventana. Inicia sesión de nuevo.",
  providerUnread: (why) => `Ahora no se puede iniciar sesión con el proveedor de identidad: ${why}`,
  notBegunHere:
    "Este inicio de sesión no empezó en esta ventana, o ya terminó. Inicia sesión de nuevo.",
  anotherProvider: "La respuesta vino de otro proveedor de identidad que el elegido. Inicia sesión de nuevo.",
  denied: (name) => `${name} no ha iniciado tu sesión: la has cancelado, o no puedes usar Buzz.`,
  providerRefused: (name, why) => `${name} ha rechazado el inicio de sesión (${why}). Díselo a quien lleva el servidor.`,
  providerSilent: (name) => `${name} no ha respondido. Comprueba tu conexión e inténtalo de nuevo.`,
  noAccessToken: (name) => `${name} ha respondido sin token de acceso. Díselo a quien lleva el servidor.`,
  badIdToken: (name) => `La respuesta de ${name} no es de este inicio de sesión. Inicia sesión de nuevo.`,
}

const LANGUAGES = { en: english, es: spanish }

/** The language of the app: the first that the person prefers and the app has. */
export const language = navigator.languages.map((each) => each.slice(0, 2)).find((each) => each in LANGUAGES) ?? "en"

export const texts = LANGUAGES[/** @type {keyof typeof LANGUAGES} */ (language)]
