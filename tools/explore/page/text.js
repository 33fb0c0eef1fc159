// The words of the page, in the languages that it speaks.

const WORDS = {
  en: {
    language: "Language",
    loading: "Loading the model …",
    ready_webgpu: "Ready in {seconds} s, on the graphics processor (WebGPU).",
    ready_wasm: "Ready in {seconds} s, on the processor (WebAssembly).",
    failed: "The page could not start. It needs a browser with WebAssembly, and a server: "
      + "python -m http.server in its folder. Received: {error}",
    picture: "Picture",
    pictureLabel: "The picture that the decoder makes of the code",
    latency: "Decoded in {ms} ms on this device",
    random: "Random sample",
    saveImage: "Save image",
    saveModel: "Save .tflite",
    startFrom: "Start from",
    startDigit: "A real digit {digit}, encoded",
    startSample: "Sample {n} of the prior",
    labels: "Label",
    label: "Label {name}",
    attributes: "Attributes",
    directions: "Attributes, as directions",
    directionsHint: "Each adds an attribute's direction to the code, or takes it away.",
    map: "Map of the code",
    mapLabel: "Map: arrow keys move the point",
    mapHint: "Drag over the map, or move the point with the arrow keys.",
    mapValue: "first dimension {x}, second dimension {y}",
    sliders: "Code",
    slidersHint: "Sorted by how much they change the picture; each spans ±3 standard "
      + "deviations of the prior.",
    dimension: "Dimension {n}",
    variable: "Variable {n}",
    showAll: "Show all {n}",
    showFewer: "Show fewer",
    interpolation: "From one sample to another",
    interpolationHint: "Codes, and attributes where there are any, on the straight line between "
      + "two samples.",
    between: "Way from the first to the second",
    newFirst: "New first sample",
    newSecond: "New second sample",
    play: "Play",
    pause: "Pause",
    mix: "Mix two samples",
    mixHint: "Between two maps of codes there is no line: so many codes come from the second.",
    mixed: "Codes from the second sample",
    draw: "Draw a digit",
    drawHint: "With the mouse or a finger; by keyboard, arrows move the pen and the space "
      + "bar lifts or lowers it. It is encoded and decoded as you draw.",
    drawLabel: "Drawing area: arrows move the pen, space lifts or lowers it",
    penUp: "pen up, {x}, {y}",
    penDown: "pen down, {x}, {y}",
    clear: "Clear",
    seen: "What the model sees",
    rebuilt: "What it makes of it",
    guessed: "Label {name} fits best.",
    codes: "Map of codes",
    codesHint: "Choose a place, then a code for it: a number, or one of the patches that the "
      + "codes stand for.",
    codesLabel: "Places of the map: arrow keys choose",
    cellValue: "row {row}, column {column}: code {code}",
    code: "Code of this place",
    fill: "This code everywhere",
    palette: "Codes, each as it looks among its like",
    paletteLabel: "All codes: arrow keys choose, Enter puts one at the place",
    paletteValue: "code {code}",
    about: "{data}. Licence: {licence}.",
    runs: "The model runs in this page, on this device: nothing is sent anywhere.",
    kept: "It is kept in this browser, and works without a network.",
    facts: "Shapes and ranges, for developers",
  },
  es: {
    language: "Idioma",
    loading: "Cargando el modelo …",
    ready_webgpu: "Listo en {seconds} s, en el procesador gráfico (WebGPU).",
    ready_wasm: "Listo en {seconds} s, en el procesador (WebAssembly).",
    failed: "La página no pudo arrancar. Necesita un navegador con WebAssembly y un servidor: "
      + "python -m http.server en su carpeta. Recibido: {error}",
    picture: "Imagen",
    pictureLabel: "La imagen que el decodificador hace del código",
    latency: "Decodificada en {ms} ms en este dispositivo",
    random: "Muestra al azar",
    saveImage: "Guardar imagen",
    saveModel: "Guardar .tflite",
    startFrom: "Empezar desde",
    startDigit: "Un dígito {digit} real, codificado",
    startSample: "Muestra {n} de la distribución a priori",
    labels: "Etiqueta",
    label: "Etiqueta {name}",
    attributes: "Atributos",
    directions: "Atributos, como direcciones",
    directionsHint: "Cada uno suma al código la dirección de un atributo, o la quita.",
    map: "Mapa del código",
    mapLabel: "Mapa: las flechas mueven el punto",
    mapHint: "Arrastra sobre el mapa, o mueve el punto con las flechas.",
    mapValue: "primera dimensión {x}, segunda dimensión {y}",
    sliders: "Código",
    slidersHint: "Por orden de cuánto cambian la imagen; cada uno abarca ±3 desviaciones "
      + "típicas de la distribución a priori.",
    dimension: "Dimensión {n}",
    variable: "Variable {n}",
    showAll: "Mostrar las {n}",
    showFewer: "Mostrar menos",
    interpolation: "De una muestra a otra",
    interpolationHint: "Códigos, y atributos donde los hay, en la línea recta entre dos "
      + "muestras.",
    between: "Camino de la primera a la segunda",
    newFirst: "Otra primera muestra",
    newSecond: "Otra segunda muestra",
    play: "Reproducir",
    pause: "Pausa",
    mix: "Mezclar dos muestras",
    mixHint: "Entre dos mapas de códigos no hay línea: tantos códigos vienen de la segunda.",
    mixed: "Códigos de la segunda muestra",
    draw: "Dibuja un dígito",
    drawHint: "Con el ratón o un dedo; con el teclado, las flechas mueven el lápiz y la barra "
      + "espaciadora lo sube o lo baja. Se codifica y decodifica mientras dibujas.",
    drawLabel: "Zona de dibujo: las flechas mueven el lápiz, el espacio lo sube o lo baja",
    penUp: "lápiz arriba, {x}, {y}",
    penDown: "lápiz abajo, {x}, {y}",
    clear: "Borrar",
    seen: "Lo que ve el modelo",
    rebuilt: "Lo que hace con ello",
    guessed: "La etiqueta {name} es la que mejor encaja.",
    codes: "Mapa de códigos",
    codesHint: "Elige un lugar y después su código: un número, o uno de los trozos de imagen "
      + "que los códigos representan.",
    codesLabel: "Lugares del mapa: elige con las flechas",
    cellValue: "fila {row}, columna {column}: código {code}",
    code: "Código de este lugar",
    fill: "Este código en todas partes",
    palette: "Los códigos, cada uno como se ve entre iguales",
    paletteLabel: "Todos los códigos: elige con las flechas, Intro lo pone en el lugar",
    paletteValue: "código {code}",
    about: "{data}. Licencia: {licence}.",
    runs: "El modelo corre en esta página, en este dispositivo: nada se envía a ningún sitio.",
    kept: "Queda guardado en este navegador y funciona sin red.",
    facts: "Formas y rangos, para desarrolladores",
  },
};

// Names of CelebA's attributes.
const ATTRIBUTES = {
  "5_o_Clock_Shadow": "Barba de un día", Arched_Eyebrows: "Cejas arqueadas",
  Attractive: "Atractivo", Bags_Under_Eyes: "Ojeras", Bald: "Calvo", Bangs: "Flequillo",
  Big_Lips: "Labios grandes", Big_Nose: "Nariz grande", Black_Hair: "Pelo negro",
  Blond_Hair: "Pelo rubio", Blurry: "Borroso", Brown_Hair: "Pelo castaño",
  Bushy_Eyebrows: "Cejas pobladas", Chubby: "Rellenito", Double_Chin: "Papada",
  Eyeglasses: "Gafas", Goatee: "Perilla", Gray_Hair: "Pelo gris",
  Heavy_Makeup: "Mucho maquillaje", High_Cheekbones: "Pómulos altos", Male: "Hombre",
  Mouth_Slightly_Open: "Boca algo abierta", Mustache: "Bigote", Narrow_Eyes: "Ojos rasgados",
  No_Beard: "Sin barba", Oval_Face: "Cara ovalada", Pale_Skin: "Piel pálida",
  Pointy_Nose: "Nariz puntiaguda", Receding_Hairline: "Entradas",
  Rosy_Cheeks: "Mejillas sonrosadas", Sideburns: "Patillas", Smiling: "Sonríe",
  Straight_Hair: "Pelo liso", Wavy_Hair: "Pelo ondulado", Wearing_Earrings: "Con pendientes",
  Wearing_Hat: "Con sombrero", Wearing_Lipstick: "Con pintalabios",
  Wearing_Necklace: "Con collar", Wearing_Necktie: "Con corbata", Young: "Joven",
};

let language = "en";

/** A text in the page's language; `values` take the places in braces. */
export function text(key, values = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** The name of a condition as people read it. */
export function nameOf(name) {
  const translated = language === "es" && ATTRIBUTES[name];
  return translated || name.replaceAll("_", " ");
}

/** Lets an element say a text, now and in every language to come. */
export function say(element, key, values = {}) {
  element.dataset.text = key;
  element.dataset.values = JSON.stringify(values);
  element.textContent = text(key, values);
}

/** The same for what a screen reader says. */
export function label(element, key, values = {}) {
  element.dataset.label = key;
  element.dataset.labelValues = JSON.stringify(values);
  element.setAttribute("aria-label", text(key, values));
}

const changed = [];

/** Calls `listener` now and when the language changes, for texts that are computed. */
export function onLanguage(listener) {
  changed.push(listener);
  listener();
}

export function setLanguage(wanted) {
  language = wanted in WORDS ? wanted : "en";
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) {
    say(element, element.dataset.text, JSON.parse(element.dataset.values ?? "{}"));
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    label(element, element.dataset.label, JSON.parse(element.dataset.labelValues ?? "{}"));
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
  changed.forEach((listener) => listener());
}
