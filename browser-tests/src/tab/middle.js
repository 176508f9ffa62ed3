selector => {
  const seen = element => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && getComputedStyle(element).visibility !== 'hidden';
  };
  // `text=Resume` is the button, the link or the summary with that text.
  const words = selector.startsWith('text=') ? selector.slice(5) : null;
  const found = words === null
    ? document.querySelectorAll(selector)
    : [...document.querySelectorAll('a,button,summary,label')].filter(it => it.innerText.trim() === words);
  const element = [...found].find(seen);
  if (!element) return null;
  element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
  const box = [...element.getClientRects()].find(box => box.width > 0) || element.getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  const top = document.elementFromPoint(x, y);
  const hit = top && (element.contains(top) || top.contains(element) || top.closest('label') === element);
  return hit ? { x, y } : null;
}
