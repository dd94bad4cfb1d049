// The pages of the keys: another passphrase, a recovery key, a factory reset.

function startKeys() {
  const main = document.querySelector("main");
  const part = (id) => document.getElementById(id);
  const answer = part("answer");
  const forms = [...document.querySelectorAll("#forms form")];
  let token = main.dataset.token;
  let busy = false;

  function say(words, bad) {
    answer.textContent = words;
    answer.classList.toggle("bad", Boolean(bad));
    answer.hidden = !words;
    if (words) answer.scrollIntoView({ block: "nearest" });
  }

  function able(yes) {
    for (const button of document.querySelectorAll("button")) button.disabled = !yes;
  }

  function wait(seconds) {
    for (const form of forms) hold(form.querySelector("button"), seconds, () => !busy);
  }

  // Asks the box; its answer, with `paper` when a recovery key is in it.
  async function ask(path, secrets) {
    busy = true;
    able(false);
    const post = makePost(path, token, main.dataset.key, secrets);
    let reply = { ok: false, words: "The connection was lost. Please reload this page." };
    try {
      const response = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: post.body,
      });
      reply = await response.json();
      if (reply.box) reply.paper = post.open(reply.box);
    } catch (error) {
      // The words above say it.
    }
    post.forget();
    busy = false;
    if (reply.token) {
      token = reply.token;
      able(true);
    }
    return reply;
  }

  const field = (form, name) => form.querySelector(`[data-field=${name}]`);

  // What can be said without asking the box.
  function problem(form) {
    const length = (text) => new TextEncoder().encode(text.normalize("NFC")).length;
    const old = field(form, "old");
    if (old && length(old.value) < 8) return "Please give the passphrase.";
    const key = field(form, "recovery_key");
    if (key && !key.value.trim()) return "Please type the twelve words of the recovery key.";
    const fresh = field(form, "new");
    if (fresh && length(fresh.value) < 8) {
      return "The new passphrase is too short. Please use at least 8 characters.";
    }
    if (fresh && length(fresh.value) > 512) {
      return "The new passphrase is too long. Please use at most 512 characters.";
    }
    if (fresh && fresh.value !== form.querySelector("[data-again]").value) {
      return "The two new passphrases are not the same. Please type them again.";
    }
    if (form.dataset.sure && part("sure").value.trim().toLowerCase() !== form.dataset.sure) {
      return `Nothing was done: the word “${form.dataset.sure}” is not there.`;
    }
    return null;
  }

  function wipe(form) {
    for (const input of form.querySelectorAll("input, textarea")) {
      if (input.type === "checkbox") {
        if (input.checked) input.click();
      } else {
        input.value = "";
      }
    }
  }

  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    const form = event.currentTarget;
    const wrong = problem(form);
    if (wrong) return say(wrong, true);
    let secrets = null;
    for (const input of form.querySelectorAll("[data-field]")) {
      // The same letters must give the same bytes on every phone.
      secrets = { ...secrets, [input.dataset.field]: input.value.normalize("NFC") };
    }
    say("Please wait. This takes up to a minute …");
    const reply = await ask(form.dataset.post, secrets);
    // A mistyped recovery key is mended, not typed anew.
    if (reply.ok) wipe(form);
    if (reply.paper) {
      say("");
      part("forms").hidden = true;
      return showRecoveryKey(reply.paper, confirm);
    }
    if (reply.ok && form.dataset.post === "/keys/recovery") {
      return say("The key was changed on its way. Please reload this page and make another.", true);
    }
    say(reply.words, !reply.ok);
    if (reply.ok && main.dataset.state === "forgot") {
      part("forms").hidden = true;
      setTimeout(() => location.assign("/"), 3000);
    }
    if (reply.ok && main.dataset.state === "usb-key") {
      part("forms").hidden = true;
      setTimeout(() => location.reload(), 4000);
    }
    wait(reply.retry_after);
  }

  async function confirm(words) {
    const reply = await ask("/keys/confirm", { recovery_key: words });
    say(reply.words, !reply.ok);
    if (!reply.ok) return;
    hideRecoveryKey();
    setTimeout(() => location.assign("/"), 3000);
  }

  if (typeof nacl === "undefined") {
    able(false);
    return say("A part of this page did not arrive. Please reload it.", true);
  }
  for (const form of forms) {
    form.addEventListener("submit", submit);
    const show = form.querySelector("[data-show]");
    if (show) {
      const inputs = [...form.querySelectorAll("input[type=password]")];
      show.addEventListener("change", () => {
        for (const input of inputs) input.type = show.checked ? "text" : "password";
      });
    }
    if (field(form, "new")) advise(field(form, "new"), form.querySelector("[data-advice]"));
  }
  wait(Number(main.dataset.retry));
}

startKeys();
