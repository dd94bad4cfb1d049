// What the pages share that ask for the passphrase first: the people, and how mail goes
// out. The session is a secret that this browser makes and that the box takes for 15
// minutes, once the passphrase came with it. It stays in this tab: never in a cookie,
// which would travel in the clear.

const SESSION = "people-session";

// Starts such a page. `page` says what is its own: `look`, the path that tells what is
// there; `content`, the id of the part that shows it; `show(told)`, which shows it and
// calls `prepare` for each form that it makes; `clear()`, which takes it away;
// `problem(form)`, the field and the words when something typed can't be right.
function startProof(page) {
  const main = document.querySelector("main");
  const part = (id) => document.getElementById(id);
  const answer = part("answer");
  let token = main.dataset.token;
  let session = recall();
  let busy = false;

  function recall() {
    try {
      return sessionStorage.getItem(SESSION);
    } catch (error) {
      return null; // storage is switched off: good until a reload
    }
  }

  function keep(secret) {
    session = secret;
    try {
      if (secret) sessionStorage.setItem(SESSION, secret);
      else sessionStorage.removeItem(SESSION);
    } catch (error) {
      // As above.
    }
  }

  function say(words, bad) {
    answer.textContent = words;
    answer.classList.toggle("bad", Boolean(bad));
    answer.hidden = !words;
    if (words) answer.scrollIntoView({ block: "nearest" });
  }

  function able(yes) {
    for (const button of document.querySelectorAll("button")) button.disabled = !yes;
  }

  // Asks the box; what it told, with `ok`.
  async function ask(path, secrets) {
    busy = true;
    able(false);
    const post = makePost(path, token, main.dataset.key, { session, ...secrets });
    let told = { ok: false, words: "The connection was lost. Please reload this page." };
    try {
      const response = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: post.body,
      });
      const reply = await response.json();
      if (reply.token) token = reply.token;
      const opened = reply.box ? post.open(reply.box) : {};
      told = opened ? { ...reply, ...opened } : {
        ok: false,
        words: "The answer was changed on its way. Please reload this page.",
      };
    } catch (error) {
      // The words above say it.
    }
    post.forget();
    busy = false;
    able(true);
    return told;
  }

  // The text of a form's field; the same letters give the same bytes on every
  // phone and in every mail program.
  function typed(form, name) {
    return field(form, name).value.normalize("NFC");
  }

  function field(form, name) {
    return form.querySelector(`[data-field=${name}]`);
  }

  function length(form, name) {
    return new TextEncoder().encode(typed(form, name)).length;
  }

  // What can be said without asking the box: which field, and the words.
  function problem(form) {
    if (field(form, "passphrase") && length(form, "passphrase") < 8) {
      return ["passphrase", "That is too short: the passphrase has at least 8 characters."];
    }
    return page.problem(form, typed, length);
  }

  // Shows words beside the field they are about, or above everything.
  function complain(form, about, words) {
    const near = about && (form.querySelector(`[data-error=${about}]`)
      || (form.closest("li") && form.closest("li").querySelector(`[data-error=${about}]`)));
    if (!near) return say(words, true);
    near.textContent = words;
    near.hidden = false;
    const wrong = field(form, about);
    if (!wrong) return near.scrollIntoView({ block: "nearest" });
    wrong.setAttribute("aria-invalid", "true");
    wrong.focus();
  }

  function calm() {
    say("");
    for (const error of document.querySelectorAll("[data-error]")) error.hidden = true;
    for (const input of document.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
    }
  }

  // Empties the secrets of a form and hides them again.
  function wipe(form) {
    for (const name of ["passphrase", "password"]) if (field(form, name)) field(form, name).value = "";
    const box = form.querySelector("[data-show]");
    if (box && box.checked) box.click();
  }

  function show(told) {
    page.show(told, prepare);
    part("prove").hidden = true;
    part(page.content).hidden = false;
  }

  // The session is over, or never was.
  function askPassphrase() {
    keep(null);
    page.clear();
    part(page.content).hidden = true;
    part("prove").hidden = false;
  }

  // True when there was no trouble. `form` is where its words go.
  function settle(told, form) {
    if (told.ok) return true;
    if (told.about === "session") askPassphrase();
    if (told.about === "starting") {
      say(told.words);
      return false;
    }
    complain(form, told.about, told.words);
    return false;
  }

  async function look() {
    const told = await ask(page.look, {});
    if (settle(told, part(page.content))) {
      say("");
      return show(told);
    }
    if (told.about === "starting") setTimeout(look, 1000 * told.retry_after);
  }

  async function prove(form) {
    keep(toBase64(nacl.randomBytes(32)));
    const passphrase = typed(form, "passphrase");
    wipe(form);
    say("Please wait. This takes up to a minute …");
    const told = await ask(form.dataset.post, { passphrase });
    say("");
    if (settle(told, form)) {
      part("prove").hidden = true;
      return look();
    }
    keep(null);
    hold(form.querySelector("button"), told.retry_after, () => !busy);
  }

  // `about` is what the form is about, instead of a field.
  async function change(form, about) {
    const secrets = { ...about };
    for (const { dataset } of form.querySelectorAll("[data-field]")) {
      const text = typed(form, dataset.field);
      // Phones put a blank behind a word that they complete; a password may end so.
      secrets[dataset.field] = dataset.field === "password" ? text : text.trim();
    }
    const told = await ask(form.dataset.post, secrets);
    if (!settle(told, form)) return;
    wipe(form);
    if (!about) form.reset();
    show(told);
    say(told.words);
  }

  function prepare(form, about) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (busy) return;
      calm();
      const wrong = problem(form);
      if (wrong) return complain(form, ...wrong);
      if (form.id === "prove") prove(form);
      else change(form, about);
    });
    const box = form.querySelector("[data-show]");
    if (!box) return;
    box.addEventListener("change", () => {
      for (const name of ["passphrase", "password"]) {
        if (field(form, name)) field(form, name).type = box.checked ? "text" : "password";
      }
    });
  }

  if (typeof nacl === "undefined") {
    able(false);
    return say("A part of this page did not arrive. Please reload it.", true);
  }
  for (const form of document.querySelectorAll("main form")) prepare(form);
  if (!session) return;
  part("prove").hidden = true;
  look();
}

// Fills a template: `domain` say stands where its class does, and is what its forms are
// about, unless `about` says otherwise.
function fillTemplate(id, texts, prepare, about = texts) {
  const row = document.getElementById(id).content.cloneNode(true);
  for (const [name, text] of Object.entries(texts)) {
    for (const place of row.querySelectorAll(`.${name}`)) place.textContent = text;
  }
  for (const form of row.querySelectorAll("form")) prepare(form, about);
  return row;
}
