// What one person likes, kept in this browser: theme, sound, vibration, keys. Nothing about alerts or people.

const DEFAULTS = { theme: 'auto', sound: false, vibrate: false, keys: true };
const KEPT = 'sekisho-prefs';

function read() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEPT) ?? '{}') };
  } catch {
    return { ...DEFAULTS };
  }
}

/** The preferences in force. */
export const prefs = read();

/** Changes one and keeps it. */
export function prefer(name, value) {
  prefs[name] = value;
  try { localStorage.setItem(KEPT, JSON.stringify(prefs)); } catch { /* Holds until the page is closed. */ }
  dress();
}

/** Puts the theme on. */
export function dress() {
  const root = document.documentElement;
  if (prefs.theme === 'auto') delete root.dataset.theme;
  else root.dataset.theme = prefs.theme;
}

let audio = null;

/** Two short tones, made here; nothing is fetched. Browsers stay silent until the person has touched the page once. */
export function ring() {
  if (prefs.vibrate) navigator.vibrate?.([180, 90, 180]);
  if (!prefs.sound) return;
  audio ??= new AudioContext();
  audio.resume();
  [[660, 0], [880, 0.18]].forEach(([hertz, at]) => {
    const [tone, loud] = [audio.createOscillator(), audio.createGain()];
    tone.frequency.value = hertz;
    const begin = audio.currentTime + at;
    loud.gain.setValueAtTime(0, begin);
    loud.gain.linearRampToValueAtTime(0.2, begin + 0.02);
    loud.gain.linearRampToValueAtTime(0, begin + 0.16);
    tone.connect(loud).connect(audio.destination);
    tone.start(begin);
    tone.stop(begin + 0.18);
  });
}
