// What the front page and the page of the keys share: advice on a passphrase,
// and the recovery key, which is shown once.

// Advice, never a rule: the box takes whatever has eight characters. It names
// what those who guess try first. Empty when there is nothing to say.
function adviseOn(passphrase) {
  const letters = [...passphrase.toLowerCase()];
  const plain = letters.filter((letter) => /[a-z]/.test(letter)).join("");
  if (letters.length < 8) return "";
  if (new Set(letters).size < 5) return "Few different letters: easy to guess.";
  for (const common of ["password", "passwort", "qwert", "asdf", "12345", "98765", "abcdef",
    "letmein", "iloveyou", "welcome", "admin", "monkey", "dragon", "football", "projectx"]) {
    const without = passphrase.toLowerCase().replace(common, "").length;
    if (letters.length - without > 0 && without < 10) {
      return `“${common}” is among the first things that are tried. More words make it good.`;
    }
  }
  if (/^[0-9 .\/-]+$/.test(passphrase)) return "Only digits: a date or number is guessed fast.";
  if (letters.length < 12 || plain.length > 0 && letters.length < 16 && !/\s/.test(passphrase)) {
    return "Better with one or two more words.";
  }
  return "";
}

// Keeps the advice beside a field up to date.
function advise(input, place) {
  input.addEventListener("input", () => {
    place.textContent = adviseOn(input.value);
    place.hidden = !place.textContent;
  });
}

// Shows a recovery key. `confirm(words)` tells the box that the owner has it;
// it is called when he typed two of the words right.
function showRecoveryKey(paper, confirm) {
  const part = (id) => document.getElementById(id);
  const words = paper.words.split(" ");
  part("words").replaceChildren(...words.map((word) => {
    const item = document.createElement("li");
    item.textContent = word;
    return item;
  }));
  const svg = (name, values) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(values)) element.setAttribute(key, value);
    return element;
  };
  const side = paper.size + 8; // a quiet zone of four modules
  const picture = svg("svg", {
    viewBox: `-4 -4 ${side} ${side}`, role: "img", "aria-label": "QR code of the recovery key",
  });
  picture.append(
    svg("rect", { x: -4, y: -4, width: side, height: side, fill: "#fff" }),
    svg("path", { d: paper.path, fill: "#000" }));
  part("qr").replaceChildren(picture);

  // Two different places, drawn by lot.
  const [a, b] = nacl.randomBytes(2);
  const first = a % words.length;
  const places = { one: first, two: (first + 1 + b % (words.length - 1)) % words.length };
  const input = (which) => document.querySelector(`[data-word=${which}]`);
  for (const which of ["one", "two"]) {
    input(which).value = "";
    document.querySelector(`[data-label=${which}]`).textContent = `Word ${places[which] + 1}`;
  }
  part("print").onclick = () => window.print();
  part("confirm").onsubmit = (event) => {
    event.preventDefault();
    for (const which of ["one", "two"]) {
      if (input(which).value.trim().toLowerCase() === words[places[which]]) continue;
      part("mistake").textContent = `Word ${places[which] + 1} is another. Look at your paper.`;
      part("mistake").hidden = false;
      return input(which).focus();
    }
    part("mistake").hidden = true;
    confirm(paper.words);
  };
  part("recovery").hidden = false;
  window.onbeforeunload = (event) => event.preventDefault();
}

// The owner has it: nothing of it stays in the page.
function hideRecoveryKey() {
  window.onbeforeunload = null;
  for (const id of ["words", "qr"]) document.getElementById(id).replaceChildren();
  document.getElementById("recovery").hidden = true;
}
