// Seals what is secret in the browser. Without this script the forms can send
// nothing over plain HTTP. `crypto.getRandomValues`, which nacl uses, works on plain HTTP; the
// rest of WebCrypto does not.
"use strict";

const PADDING = 1024; // as in sealed.rs: the length shall not tell anything

// A post to `path`: its `body`, and `open`, which opens the sealed answer (null
// when it does not open). `secrets` is null, or an object of what shall be
// sealed. `key` and `token` are base64. `forget` wipes the key of the answer.
function makePost(path, token, key, secrets) {
  if (!secrets) return { body: JSON.stringify({ token }), open: () => null, forget() {} };
  const text = JSON.stringify({ for: path, token, ...secrets });
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(Math.ceil(bytes.length / PADDING) * PADDING).fill(32);
  padded.set(bytes);
  const pair = nacl.box.keyPair();
  const nonce = nacl.randomBytes(nacl.box.nonceLength);
  const box = fromBase64(key);
  const sealed = nacl.box(padded, nonce, box, pair.secretKey);
  bytes.fill(0);
  padded.fill(0);
  return {
    body: JSON.stringify({
      token,
      box: { key: toBase64(pair.publicKey), nonce: toBase64(nonce), sealed: toBase64(sealed) },
    }),
    open(answer) {
      const opened = nacl.box.open(
        fromBase64(answer.sealed), fromBase64(answer.nonce), box, pair.secretKey);
      return opened && JSON.parse(new TextDecoder().decode(opened));
    },
    forget() {
      pair.secretKey.fill(0);
    },
  };
}

function toBase64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
