import { failDatum } from '../test-processing.ts'

/** What a datum's code is shown, as `<input><path>` → text; and what it writes, as path → text. */
export type Shown = ReadonlyMap<string, string>
export type Written = Readonly<Record<string, string>>

/**
 * User code that follows from what it is shown. A command is `kind:mark`, and other marks make other
 * outputs. Each throws a text to fail the datum.
 */
type Kind = (shown: readonly (readonly [string, string])[], mark: string) => Written

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

function lineOf(shown: readonly (readonly [string, string])[], mark: string): string {
  return shown.map(([path, text]) => `${mark} ${path}=${text};`).join('')
}

function copied(shown: readonly (readonly [string, string])[], mark: string): Written {
  return Object.fromEntries(shown.map(([path, text]) => [path, `${mark} ${text}`]))
}

const kinds: Readonly<Record<string, Kind>> = {
  copy: copied,
  /** Every datum writes one file. */
  all: (shown, mark) => ({ all: lineOf(shown, mark) }),
  letters(shown, mark) {
    const written: Record<string, string> = {}
    for (const [path, text] of shown) {
      const name = `by/${baseName(path).slice(0, 1)}`
      written[name] = `${written[name] ?? ''}${mark} ${text};`
    }
    return written
  },
  /** A file where others have a directory, now and then. */
  clash(shown, mark) {
    const isFile = shown.some(([path]) => path.endsWith('/f0'))
    return { [isFile ? 'x' : `x/${shown.length}`]: lineOf(shown, mark) }
  },
  picky(shown, mark) {
    const bad = shown.find(([, text]) => text.includes('bad'))
    if (bad !== undefined) failDatum(`${bad[0]} is bad`)
    return copied(shown, mark)
  },
  /** Whoever runs it has it fail a few times first. */
  flaky: copied,
  /** Over what is bad it takes longer than any limit. */
  slow: copied,
  nothing: () => ({}),
}

/** For incremental pipelines over files that are only added: a line for each, in order. */
const seenKind = 'seen'

/** Runs until it is stopped, and now and then ends by itself. */
export const serviceKind = 'serve'

export function isService(command: string): boolean {
  return command.startsWith(`${serviceKind}:`)
}

export const usualKinds: readonly string[] = Object.keys(kinds)

export function isSlow(command: string, files: Shown): boolean {
  return command.startsWith('slow:') && inputsOf(files).some(([, text]) => text.includes('bad'))
}

function inputsOf(files: Shown): (readonly [string, string])[] {
  return [...files].filter(([path]) => !path.startsWith('out/'))
}

export function runCode(command: string, files: Shown): Written {
  const [kind = '', mark = ''] = command.split(':')
  const shown = inputsOf(files)
  shown.sort(([left], [right]) => (left < right ? -1 : 1))
  if (kind === seenKind) {
    const lines = new Set((files.get('out/seen') ?? '').split('\n').filter(Boolean))
    for (const [path, text] of shown) lines.add(`${path}=${text}`)
    return { seen: [...lines].toSorted().join('\n') }
  }
  const code = kinds[kind]
  if (code === undefined) throw new Error(`there is no code ${command}`)
  return code(shown, mark)
}
