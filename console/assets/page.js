// The front page: claiming, unlocking, switching off.

function start() {
  const main = document.querySelector("main");
  const form = document.querySelector("main form[data-post]");
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

  // Holds the submit button.
  function wait(seconds) {
    hold(form && form.querySelector("button"), seconds, () => !busy && !over);
  }

  async function send(path, secrets) {
    busy = true;
    able(false);
    const post = makePost(path, token, main.dataset.key, secrets);
    wipe();
    let reply = null;
    try {
      const response = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: post.body,
      });
      reply = await response.json();
      if (reply.box) reply.paper = post.open(reply.box);
    } catch (error) {
      reply = null;
    }
    post.forget();
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
    if (reply.paper) {
      over = true; // no reload may take the key away
      token = reply.token;
      form.hidden = true;
      document.querySelector("h1").textContent = "One thing more";
      for (const id of ["print", "confirm"]) {
        const button = field(id).querySelector("button") || field(id);
        button.disabled = false;
      }
      return showRecoveryKey(reply.paper, confirm);
    }
    if (reply.ok) return setTimeout(() => location.reload(), 2500);
    if (!reply.token) return; // the words say: reload
    token = reply.token;
    able(true);
    wait(reply.retry_after);
  }

  async function confirm(words) {
    const reply = await send("/keys/confirm", { recovery_key: words });
    say(reply ? reply.words : "The connection was lost. Please try again.", !(reply && reply.ok));
    if (reply && reply.token) token = reply.token;
    if (!reply || !reply.ok) return able(true);
    hideRecoveryKey();
    setTimeout(() => location.reload(), 3000);
  }

  async function power(event) {
    event.preventDefault();
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
    form.querySelector("[data-show]").addEventListener("change", (event) => {
      const type = event.currentTarget.checked ? "text" : "password";
      for (const id of ["first", "second"]) if (field(id)) field(id).type = type;
    });
    if (field("advice")) advise(field("first"), field("advice"));
  }
  for (const button of buttons) {
    if (button.dataset.post) button.addEventListener("click", power);
  }
  wait(Number(main.dataset.retry));
  setTimeout(watch, 2000);
}

if (typeof document !== "undefined") start();
