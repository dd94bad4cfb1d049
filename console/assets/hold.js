// Holds a button for so many seconds, counting on it. `free` says whether it
// may be touched otherwise.
function hold(button, seconds, free) {
  if (!button || !(seconds > 0)) return;
  const words = button.dataset.words || (button.dataset.words = button.textContent);
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    button.disabled = !free() || left > 0;
    button.textContent = left > 0 ? `Wait ${left} s` : words;
    if (left > 0) setTimeout(tick, 500);
  };
  tick();
}
