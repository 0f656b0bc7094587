import type { AtomInput, Input } from '../../pipelines/inputs.ts'
import type { PipelineSpec } from '../../pipelines/specs.ts'
import { isSlow, runCode, type Written } from './user-codes.ts'

/** Paths that begin with a slash → texts; a directory ends in a slash, and has the text ''. */
export type Files = ReadonlyMap<string, string>

interface Member {
  readonly name: string
  readonly repo: string
  readonly path: string
}

interface ExpectedDatum {
  readonly members: readonly Member[]
  /** Compared text by text: the order of datums. */
  readonly order: readonly string[]
}

export interface Expected {
  readonly datumCount: number
  /** Texts by path; undefined when the job must fail. */
  readonly files: Files | undefined
  /** Why it must fail. */
  readonly reason: string
}

/**
 * What a job must come to, worked out from scratch and by brute force from all files of its inputs.
 * Shares nothing with the pipelines but the user code. `letGo` are the datums, as `membersText` has
 * them, that the error command has let go though their code would have worked.
 */
export function expectedOutput(
  spec: Pick<
    PipelineSpec,
    'input' | 'transform' | 'errorCommand' | 'datumTimeoutMs' | 'jobTimeoutMs'
  >,
  filesOf: (repo: string) => Files,
  letGo: ReadonlySet<string> = new Set(),
): Expected {
  const { input, transform, errorCommand } = spec
  const [command = ''] = transform.command
  const datums = datumsOf(input, filesOf).toSorted(byOrder)
  const writes: Written[] = []
  for (const { members } of datums) {
    if (letGo.has(membersText(members.map(({ name, path }) => [name, path])))) continue
    const shown = new Map<string, string>()
    for (const { name, repo, path } of members) {
      for (const [file, text] of below(filesOf(repo), path)) {
        shown.set(`${name}${file}`, text)
      }
    }
    if (isSlow(command, shown)) {
      const reason = 'a datum takes longer than the limit'
      if (spec.datumTimeoutMs !== undefined && errorCommand !== undefined) continue
      if (spec.datumTimeoutMs !== undefined || spec.jobTimeoutMs !== undefined) {
        return { datumCount: datums.length, files: undefined, reason }
      }
    }
    try {
      writes.push(runCode(command, shown))
    } catch (error) {
      if (typeof error !== 'string') throw error
      // It lets the datum go, which then has no part in the output.
      if (errorCommand !== undefined) continue
      return { datumCount: datums.length, files: undefined, reason: error }
    }
  }
  const files = joined(writes)
  const clash = [...files.keys()].find((path) => isDirectory(files, path))
  if (clash === undefined) return { datumCount: datums.length, files, reason: '' }
  return { datumCount: datums.length, files: undefined, reason: `${clash} is a directory, too` }
}

/** The members of a datum, each an input's name and a path. */
export function membersText(members: readonly (readonly string[])[]): string {
  return members
    .map(([name, path]) => `${name}:${path}`)
    .toSorted()
    .join(' ')
}

/** What a service is shown of its inputs, all at once; undefined where two inputs of one name differ. */
export function shownToService(input: Input, filesOf: (repo: string) => Files): Files | undefined {
  const shown = new Map<string, string>()
  for (const { members } of datumsOf(input, filesOf)) {
    for (const { name, repo, path } of members) {
      for (const [file, text] of below(filesOf(repo), path)) {
        if ((shown.get(`${name}${file}`) ?? text) !== text) return undefined
        shown.set(`${name}${file}`, text)
      }
    }
  }
  return shown
}

function isDirectory(files: Files, path: string): boolean {
  return [...files.keys()].some((other) => other.startsWith(`${path}/`))
}

function joined(writes: readonly Written[]): Files {
  const files = new Map<string, string>()
  for (const written of writes) {
    for (const [name, text] of Object.entries(written)) {
      files.set(`/${name}`, (files.get(`/${name}`) ?? '') + text)
    }
  }
  return files
}

function below(files: Files, path: string): readonly (readonly [string, string])[] {
  return [...files].filter(
    ([file]) => !file.endsWith('/') && (file === path || file.startsWith(`${path}/`)),
  )
}

function datumsOf(input: Input, filesOf: (repo: string) => Files): readonly ExpectedDatum[] {
  switch (input.kind) {
    case 'atom':
      return matchesOf(input, filesOf(input.repo)).map((path) => ({
        members: [{ name: input.name, repo: input.repo, path }],
        order: [orderOf(path)],
      }))
    case 'cross':
      return crossed(input.members.map((member) => datumsOf(member, filesOf)))
    case 'union':
      return input.members.flatMap((member, index) =>
        datumsOf(member, filesOf).map(({ members, order }) => ({
          members,
          order: [String(index).padStart(5, '0'), ...order],
        })),
      )
    case 'join':
      return keysOf(input.members, filesOf).flatMap((key) => {
        const lists = input.members.map((atom) => datumsWithKey(atom, key, filesOf))
        return crossed(lists).map(({ members, order }) => ({ members, order: [key, ...order] }))
      })
    case 'group':
      return keysOf(input.members, filesOf).map((key) => ({
        members: input.members.flatMap((atom) =>
          datumsWithKey(atom, key, filesOf).flatMap(({ members }) => members),
        ),
        order: [key],
      }))
  }
}

function crossed(lists: readonly (readonly ExpectedDatum[])[]): readonly ExpectedDatum[] {
  let combined: readonly ExpectedDatum[] = [{ members: [], order: [] }]
  for (const list of lists) {
    combined = list.flatMap((datum) =>
      combined.map(({ members, order }) => ({
        members: [...members, ...datum.members],
        // The first varies fastest: the last one is compared first.
        order: [...datum.order, ...order],
      })),
    )
  }
  return combined
}

function keysOf(
  members: readonly AtomInput[],
  filesOf: (repo: string) => Files,
): readonly string[] {
  const keys = members.flatMap((atom) =>
    matchesOf(atom, filesOf(atom.repo)).map((path) => keyOf(atom, path)),
  )
  return [...new Set(keys)]
}

function datumsWithKey(
  atom: AtomInput,
  key: string,
  filesOf: (repo: string) => Files,
): readonly ExpectedDatum[] {
  return datumsOf({ ...atom, kind: 'atom' }, filesOf).filter(
    ({ members }) => keyOf(atom, members[0]?.path ?? '') === key,
  )
}

function keyOf({ glob, matchOn = '' }: AtomInput, path: string): string {
  const captures = pattern(glob).exec(path) ?? []
  return matchOn.replaceAll(/\$(\d)/g, (_, number: string) => captures[Number(number)] ?? '')
}

function matchesOf({ glob }: AtomInput, files: Files): readonly string[] {
  if (glob === '/') return ['']
  const paths = [...files.keys()].map((path) => (path.endsWith('/') ? path.slice(0, -1) : path))
  return paths.filter((path) => pattern(glob).test(path))
}

function pattern(glob: string): RegExp {
  return new RegExp(`^${glob.replaceAll('*', '[^/]*').replaceAll('?', '[^/]')}$`)
}

/** A directory's files stay together. */
function orderOf(path: string): string {
  return path.replaceAll('/', '\u0001')
}

function byOrder(left: ExpectedDatum, right: ExpectedDatum): number {
  const [a, b] = [left.order.join('\0'), right.order.join('\0')]
  if (a === b) return 0
  return a < b ? -1 : 1
}
