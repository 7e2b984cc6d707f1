// What everybody needs to be able to use a page, measured in the browser: a list of faults, empty when there are none.
// Rules of WCAG 2.2 at level AA, as far as a program can tell; targets are held to 44 pixels, which is stricter.
(({ targets }) => {
  const faults = [];
  const shown = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const over = document.querySelector('dialog[open]');
  const reachable = (element) => shown(element) && (!over || over.contains(element));
  const name = (element) => `${element.tagName.toLowerCase()}.${element.className} "${(element.innerText ?? '').slice(0, 30)}"`;

  const colour = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const under = (top, below) => ({
    r: top.r * top.a + below.r * (1 - top.a), g: top.g * top.a + below.g * (1 - top.a), b: top.b * top.a + below.b * (1 - top.a), a: 1,
  });
  const background = (element) => {
    if (!element) return { r: 255, g: 255, b: 255, a: 1 };
    const own = colour(getComputedStyle(element).backgroundColor);
    return own.a === 1 ? own : under(own, background(element.parentElement));
  };
  const light = ({ r, g, b }) => {
    const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const contrast = (one, two) => {
    const [high, low] = [light(one), light(two)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !reachable(element) || element.closest('noscript, :disabled, .unseen, option')) continue;
    texts += 1;
    const style = getComputedStyle(element);
    const behind = background(element);
    const ratio = contrast(under(colour(style.color), behind), behind);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)} of ${name(element)}: ${style.color} on ${JSON.stringify(behind)}`);
  }
  if (texts < 3) faults.push(`only ${texts} texts were looked at`);

  if (targets) {
    for (const element of document.querySelectorAll('a[href], button, input, select, summary')) {
      if (!reachable(element) || element.closest('.skip')) continue;
      const box = (element.closest('label') ?? element).getBoundingClientRect();
      if (box.width < 43.5 || box.height < 43.5) faults.push(`target ${Math.round(box.width)}x${Math.round(box.height)}: ${name(element)}`);
    }
  }
  for (const image of document.querySelectorAll('img')) if (!image.hasAttribute('alt')) faults.push(`no alt: ${image.src}`);
  const heads = [...document.querySelectorAll('h1')].filter(shown).length;
  if (heads !== 1) faults.push(`${heads} headings of the first level`);
  if (!document.querySelector('main')) faults.push('no main part');
  if (!['en', 'ja'].includes(document.documentElement.lang)) faults.push(`lang is ${document.documentElement.lang}`);
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  if (wide > 0) faults.push(`${wide} pixels wider than the window`);
  return faults;
})
