// Seals the passphrase in the browser and sends it. Without this script the
// forms can send nothing. `crypto.getRandomValues`, which nacl uses, works on
// plain HTTP; the rest of WebCrypto does not.
"use strict";

const PADDING = 1024; // as in sealed.rs: the length shall not tell anything

// The body of a post to `path`. `secrets` is null, or an object with
// `passphrase` and `setup_code` (or null). `key` and `token` are base64.
function makeBody(path, token, key, secrets) {
  if (!secrets) return JSON.stringify({ token });
  const text = JSON.stringify({ for: path, token, ...secrets });
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(Math.ceil(bytes.length / PADDING) * PADDING).fill(32);
  padded.set(bytes);
  const pair = nacl.box.keyPair();
  const nonce = nacl.randomBytes(nacl.box.nonceLength);
  const sealed = nacl.box(padded, nonce, fromBase64(key), pair.secretKey);
  bytes.fill(0);
  padded.fill(0);
  pair.secretKey.fill(0);
  return JSON.stringify({
    token,
    box: { key: toBase64(pair.publicKey), nonce: toBase64(nonce), sealed: toBase64(sealed) },
  });
}

function toBase64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function start() {
  const main = document.querySelector("main");
  const form = document.querySelector("form");
  const buttons = [...document.querySelectorAll("button")];
  const answer = document.getElementById("answer");
  const field = (id) => document.getElementById(id);
  const state = main.dataset.state;
  let token = main.dataset.token;
  let busy = false;
  let over = false; // restarting or off: nothing more can be done here

  function say(words, bad) {
    answer.textContent = words;
    answer.classList.toggle("bad", Boolean(bad));
    answer.hidden = false;
    answer.scrollIntoView({ block: "nearest" });
  }

  function able(yes) {
    for (const button of buttons) button.disabled = !yes;
  }

  function wipe() {
    for (const id of ["first", "second"]) if (field(id)) field(id).value = "";
  }

  // Holds the submit button for so many seconds, counting on it.
  function hold(seconds) {
    const button = form && form.querySelector("button");
    if (!button || !(seconds > 0)) return;
    const words = button.dataset.words || (button.dataset.words = button.textContent);
    const until = Date.now() + seconds * 1000;
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      button.disabled = busy || over || left > 0;
      button.textContent = left > 0 ? `Wait ${left} s` : words;
      if (left > 0) setTimeout(tick, 500);
    };
    tick();
  }

  async function send(path, secrets) {
    busy = true;
    able(false);
    const body = makeBody(path, token, main.dataset.key, secrets);
    wipe();
    let reply = null;
    try {
      const response = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
      });
      reply = await response.json();
    } catch (error) {
      reply = null;
    }
    busy = false;
    return reply;
  }

  function problem() {
    if (!form) return null;
    const first = field("first").value.normalize("NFC");
    const length = new TextEncoder().encode(first).length;
    if (field("second") && first !== field("second").value.normalize("NFC")) {
      return "The two passphrases are not the same. Please type them again.";
    }
    if (length < 8) return "That is too short. Please use at least 8 characters.";
    if (length > 512) return "That is too long. Please use at most 512 characters.";
    return null;
  }

  async function submit(event) {
    event.preventDefault();
    if (busy || over) return;
    const wrong = problem();
    if (wrong) return say(wrong, true);
    const path = form.dataset.post;
    const secrets = {
      // The same letters must give the same bytes on every phone.
      passphrase: field("first").value.normalize("NFC"),
      setup_code: field("code") ? field("code").value.trim() : null,
    };
    say("Please wait. This takes up to a minute …");
    const reply = await send(path, secrets);
    if (!reply) {
      say("The connection was lost. Looking again …", true);
      return setTimeout(() => location.reload(), 5000);
    }
    say(reply.words, !reply.ok);
    if (reply.ok) return setTimeout(() => location.reload(), 2500);
    if (!reply.token) return; // the words say: reload
    token = reply.token;
    able(true);
    hold(reply.retry_after);
  }

  async function power(event) {
    if (busy || over) return;
    const path = event.currentTarget.dataset.post;
    const reply = await send(path, null);
    if (reply && !reply.ok) {
      say(reply.words, true);
      if (!reply.token) return;
      token = reply.token;
      return able(true);
    }
    over = true;
    for (const part of document.querySelectorAll("form, details")) part.hidden = true;
    say(reply ? reply.words : "The box is stopping.");
    if (path === "/restart") setTimeout(comeBack, 20000);
  }

  async function status() {
    const response = await fetch("/status");
    return response.json();
  }

  async function comeBack() {
    try {
      await status();
      location.reload();
    } catch (error) {
      setTimeout(comeBack, 4000);
    }
  }

  // Follows what happens on the box or from another phone, but never throws
  // away what is being typed.
  async function watch() {
    if (over) return;
    const typed = ["first", "second", "code"].some((id) => field(id) && field(id).value);
    if (!busy && !typed && !document.hidden) {
      try {
        const now = await status();
        if (now.state && now.state !== state && !busy && !over) return location.reload();
      } catch (error) {
        // The box may be restarting; the next round will tell.
      }
    }
    setTimeout(watch, state === "working" ? 2000 : 10000);
  }

  if (form) {
    if (typeof nacl === "undefined") {
      able(false);
      return say("A part of this page did not arrive. Please reload it.", true);
    }
    form.addEventListener("submit", submit);
    field("show").addEventListener("change", (event) => {
      const type = event.currentTarget.checked ? "text" : "password";
      for (const id of ["first", "second"]) if (field(id)) field(id).type = type;
    });
  }
  for (const button of buttons) {
    if (button.type === "button") button.addEventListener("click", power);
  }
  hold(Number(main.dataset.retry));
  setTimeout(watch, 2000);
}

if (typeof document !== "undefined") start();
