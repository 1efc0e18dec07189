// Names beside nodes, as many as fit without one lying over another. What gets no name is counted where it is: "+12".

export interface Labelled {
  id: string;
  x: number;
  y: number;
  radius: number;
  text: string;
  /** Who is more important is asked first. */
  priority: number;
}

export interface Label {
  id: string;
  x: number;
  y: number;
  anchor: 'start' | 'middle' | 'end';
  text: string;
}

export interface Group {
  x: number;
  y: number;
  count: number;
}

interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

const HEIGHT = 13;
const PER_CHARACTER = 6.4;
const CELL = 110;
/** Of more nodes than that, a name may lie over another's dot, and only the most important have names. */
const CAREFUL = 200;
const MOST_OF_MANY = 40;

function overlaps(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function textWidth(text: string): number {
  return text.length * PER_CHARACTER;
}

export function boxOf({ x, y, anchor, text }: Omit<Label, 'id'>): Box {
  const width = textWidth(text);
  const left = { start: x, middle: x - width / 2, end: x - width }[anchor];
  return { left, top: y - HEIGHT + 3, right: left + width, bottom: y + 3 };
}

function* places({ id, x, y, radius, text }: Labelled): Generator<Label> {
  yield { id, text, x, y: y + radius + HEIGHT - 1, anchor: 'middle' };
  yield { id, text, x: x + radius + 4, y: y + 4, anchor: 'start' };
  yield { id, text, x: x - radius - 4, y: y + 4, anchor: 'end' };
  yield { id, text, x, y: y - radius - 5, anchor: 'middle' };
}

export interface Placed {
  labels: Label[];
  groups: Group[];
}

/** Where names go in a box of this size; nodes outside of it get none. */
export function placeLabels(nodes: readonly Labelled[], width: number, height: number): Placed {
  const inside = nodes.filter(({ x, y }) => x >= 0 && y >= 0 && x <= width && y <= height);
  const order = [...inside].sort((a, b) => b.priority - a.priority || (a.id < b.id ? -1 : 1));
  const dots = inside.length > CAREFUL ? [] : inside.map(dotOf);
  const taken: Box[] = [];
  const labels: Label[] = [];
  const nameless: Labelled[] = [];
  const most = inside.length > CAREFUL ? MOST_OF_MANY : inside.length;
  for (const node of order) {
    const label = labels.length < most ? firstFree(node, taken, dots) : null;
    if (label) {
      labels.push(label);
      taken.push(boxOf(label));
    } else {
      nameless.push(node);
    }
  }
  return {
    labels,
    groups:
      inside.length > CAREFUL ? grouped(nameless, taken) : grouped(nameless, taken).filter(({ count }) => count > 1),
  };
}

function dotOf({ id, x, y, radius }: Labelled): Box & { id: string } {
  return { id, left: x - radius, top: y - radius, right: x + radius, bottom: y + radius };
}

function firstFree(node: Labelled, taken: readonly Box[], dots: readonly (Box & { id: string })[]): Label | null {
  for (const label of places(node)) {
    const box = boxOf(label);
    const isFree = !taken.some((other) => overlaps(box, other));
    if (isFree && !dots.some((dot) => dot.id !== node.id && overlaps(box, dot))) return label;
  }
  return null;
}

function grouped(nameless: readonly Labelled[], taken: Box[]): Group[] {
  const cells = new Map<string, Group>();
  for (const { x, y } of nameless) {
    const key = `${Math.floor(x / CELL)},${Math.floor(y / CELL)}`;
    const cell = cells.get(key) ?? { x: 0, y: 0, count: 0 };
    cells.set(key, { x: cell.x + x, y: cell.y + y, count: cell.count + 1 });
  }
  return [...cells.values()]
    .map(({ x, y, count }) => ({ x: x / count, y: y / count, count }))
    .sort((a, b) => b.count - a.count)
    .filter(({ x, y, count }) => {
      const box = boxOf({ x, y, anchor: 'middle', text: `+${count}` });
      if (taken.some((other) => overlaps(box, other))) return false;
      taken.push(box);
      return true;
    });
}
