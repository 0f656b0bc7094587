import type { CommandSpec } from '../command.ts'
import { UsageError } from '../errors.ts'
import { type ArgumentSlot, argumentSlots, joinableCount } from './argument-form.ts'

/** A commit of a repo, and perhaps a path in it, as one text says it. */
interface CommitText {
  readonly repo: string
  /** A branch, a commit tag or an id, with what goes back from it. */
  readonly commit: string
  readonly path: string | undefined
}

/**
 * The arguments of a command, each by itself: one such as `images@master^:/cat.png` where a repo is
 * wanted is taken apart into what stands in the places from there on. Neither `@` nor `:` is in the
 * name of a repo, so the first of each is meant; a path may have any.
 *
 * @throws {UsageError} for one that says too little or too much, and when there are too few
 * arguments, or too many, where one was taken apart.
 */
export function splitArguments(command: CommandSpec, words: readonly string[]): readonly string[] {
  const slots = argumentSlots(command.arguments)
  const args: string[] = []
  let joined: { readonly word: string; readonly names: string } | undefined
  for (const word of words) {
    const start = args.length
    const wantedCount = word.includes('@') ? joinableCount(slots, start) : 0
    if (wantedCount === 0) {
      args.push(word)
      continue
    }
    const { repo, commit, path } = parseCommitText(word)
    if (path !== undefined && wantedCount < 2) {
      throw usageError(`${JSON.stringify(word)} has a path, and ${command.name} takes none there`)
    }
    args.push(repo, commit, ...(path === undefined ? [] : [path]))
    joined = { word, names: namesOf(slots.slice(start, args.length)) }
  }
  if (joined !== undefined) requirePlaces(slots, args, joined)
  return args
}

/**
 * A commit in one argument: `images/master`, or `images@master`.
 *
 * @throws {UsageError}
 */
export function parseQualifiedCommit(text: string): { readonly repo: string; commit: string } {
  const separator = /[/@]/.exec(text)?.[0]
  if (separator === '@') {
    const { repo, commit, path } = parseCommitText(text)
    if (path === undefined) return { repo, commit }
    throw usageError(
      `${JSON.stringify(text)} has a path: name a commit only, such as images@master`,
    )
  }
  const [repo = '', commit = '', ...rest] = text.split('/')
  if (repo === '' || commit === '' || rest.length > 0) {
    throw usageError(
      `commit ${JSON.stringify(text)} is not of the form REPO/COMMIT or REPO@COMMIT, such as images/master`,
    )
  }
  return { repo, commit }
}

/**
 * `images@master^:/cat.png` taken apart; `text` has an `@`.
 *
 * @throws {UsageError}
 */
export function parseCommitText(text: string): CommitText {
  const at = text.indexOf('@')
  const repo = text.slice(0, at)
  const rest = text.slice(at + 1)
  const colon = rest.indexOf(':')
  const commit = colon === -1 ? rest : rest.slice(0, colon)
  if (repo === '') throw usageError(`${JSON.stringify(text)} names no repo before the @`)
  if (commit === '')
    throw usageError(`${JSON.stringify(text)} names no branch or commit after the @`)
  return { repo, commit, path: colon === -1 ? undefined : rest.slice(colon + 1) }
}

function requirePlaces(
  slots: readonly ArgumentSlot[],
  args: readonly string[],
  { word, names }: { readonly word: string; readonly names: string },
): void {
  const meaning = `${JSON.stringify(word)} stands for ${names}`
  if (args.length > slots.length) {
    const spare = JSON.stringify(args[slots.length])
    throw usageError(`too many arguments: ${meaning}, so there is no place for ${spare}`)
  }
  const next = slots[args.length]
  if (next !== undefined && !next.opens) {
    throw usageError(`too few arguments: ${meaning}, and ${next.name} is missing`)
  }
}

function namesOf(slots: readonly ArgumentSlot[]): string {
  return slots.map(({ name }) => name).join(' ')
}

function usageError(message: string): UsageError {
  return new UsageError(message, { showsUsage: true })
}
