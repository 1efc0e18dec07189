/** What the check of a bundle throws inside this folder: one sentence that names what does not hold. */
export class Refused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'Refused';
  }
}

export function refuse(why: string): never {
  throw new Refused(why);
}

/** Refuses with `why` unless the condition holds. */
export function demand(condition: boolean, why: string): asserts condition {
  if (!condition) refuse(why);
}
