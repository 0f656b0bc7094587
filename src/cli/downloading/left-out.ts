import { visible } from '../printing/visible.ts'

/** Directories that match a pattern, and whose files are not asked for. */
export class LeftOut {
  readonly #flags: string
  #first = ''
  #count = 0

  /** `flags` ask for their files. */
  constructor(flags: string) {
    this.#flags = flags
  }

  add(path: string): void {
    if (this.#count === 0) this.#first = path
    this.#count += 1
  }

  /** Undefined when there is none. */
  get text(): string | undefined {
    if (this.#count === 0) return undefined
    const others = this.#count === 1 ? '' : ` (and ${this.#count - 1} more)`
    return `left out: ${visible(this.#first)} is a directory${others}; to store what is in it, use ${this.#flags}`
  }
}
