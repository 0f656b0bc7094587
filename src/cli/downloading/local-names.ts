import { InvalidArgumentError } from '../../base/errors.ts'

/** A path of the server that has no place in a local directory. */
export class NameRefusedError extends InvalidArgumentError {
  override readonly name = 'NameRefusedError'
}

const reservedOnWindows = /[\\:*?"<>|\p{Cc}]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/iu
/**
 * Checks a name that came from a server, whoever put it there: it must be one entry of its directory,
 * and lead nowhere else.
 *
 * @throws {NameRefusedError}
 */
export function checkLocalName(name: string, platform: NodeJS.Platform = process.platform): void {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new NameRefusedError(`${JSON.stringify(name)} is no file name here`)
  }
  if (platform === 'win32' && reservedOnWindows.test(name)) {
    throw new NameRefusedError(`${JSON.stringify(name)} cannot be a file name on Windows`)
  }
}

/** What a file system takes for one and the same name. */
export interface NameForms {
  /** `A` and `a`. */
  readonly ignoresCase: boolean
  /** Letters with their accents in one piece or in two. */
  readonly ignoresForm: boolean
}

export const exactNames: NameForms = { ignoresCase: false, ignoresForm: false }

interface Level {
  readonly name: string
  /** Names that were claimed in this directory, as the file system tells them apart. */
  readonly seen: Map<string, string>
}

/**
 * Finds names of one commit that the target's file system cannot tell apart, so that one file does not
 * take another's place. Paths come in tree order; holds the names in the directories that lead to the
 * last one, and nothing where every name is told apart.
 */
export class NameClaims {
  readonly #forms: NameForms
  readonly #root: Level = { name: '', seen: new Map() }
  #levels: Level[] = []

  constructor(forms: NameForms) {
    this.#forms = forms
  }

  /** @throws {NameRefusedError} for a name that is like another one before it. */
  claim(names: readonly string[]): void {
    if (!this.#forms.ignoresCase && !this.#forms.ignoresForm) return
    let depth = 0
    while (depth < names.length - 1 && this.#levels[depth]?.name === names[depth]) depth += 1
    this.#levels.length = Math.min(this.#levels.length, depth)
    for (; depth < names.length; depth += 1) {
      const above = this.#levels[depth - 1] ?? this.#root
      const name = names[depth] ?? ''
      this.#claimIn(above, name)
      this.#levels.push({ name, seen: new Map() })
    }
  }

  #claimIn({ seen }: Level, name: string): void {
    const folded = this.#fold(name)
    const other = seen.get(folded)
    if (other !== undefined && other !== name) {
      throw new NameRefusedError(
        `this file system takes ${JSON.stringify(name)} for ${JSON.stringify(other)}, which is beside it`,
      )
    }
    seen.set(folded, name)
  }

  #fold(name: string): string {
    const formed = this.#forms.ignoresForm ? name.normalize('NFC') : name
    return this.#forms.ignoresCase ? formed.toLowerCase() : formed
  }
}
