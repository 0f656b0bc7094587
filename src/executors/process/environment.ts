import { closeSync, fchmodSync, ftruncateSync, openSync, writeSync } from 'node:fs'

import { assert, FailedPreconditionError, InvalidArgumentError } from '../../base/errors.ts'
import type { SlotSecrets } from '../../pipelines/executor.ts'

/** What a program finds in its environment, whatever the pipeline says. */
export interface BaseEnvironment {
  readonly programPath: string
  /** What the program sees as `/pfs`. */
  readonly pfsPath: string
  /** Writable, and empty at the start of each datum. */
  readonly homeDirectory: string
}

/**
 * The whole environment of user code: nothing of the server's own. Later parts win, but `PFS` is
 * always true.
 */
export function userEnvironment(
  base: BaseEnvironment,
  ...parts: readonly Readonly<Record<string, string>>[]
): Readonly<Record<string, string>> {
  const environment = {
    PATH: base.programPath,
    HOME: base.homeDirectory,
    LANG: 'C.UTF-8',
    ...Object.assign({}, ...parts),
    PFS: base.pfsPath,
  }
  for (const [name, value] of Object.entries(environment)) checkVariable(name, value)
  return environment
}

/** @throws {InvalidArgumentError} for what no process can have in its environment. */
export function checkVariable(name: string, value: unknown): void {
  if (name === '' || name.includes('=') || name.includes('\0')) {
    throw new InvalidArgumentError(
      `not a name for an environment variable: ${JSON.stringify(name)}`,
    )
  }
  if (typeof value !== 'string' || value.includes('\0')) {
    throw new InvalidArgumentError(`the environment variable ${name} has a value with a NUL in it`)
  }
}

// A shell takes these as its own, or refuses to set them.
const shellNames = new Set(
  (
    '_ ENV IFS LINENO OLDPWD OPTARG OPTIND PPID PS1 PS2 PS4 PWD ' +
    'EUID FUNCNAME GROUPS HISTCMD RANDOM SECONDS SHELLOPTS SHLVL UID'
  ).split(' '),
)

/** Whether programs can be given a variable of this name by a shell. */
export function canAssign(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !name.startsWith('BASH') && !shellNames.has(name)
}

/** @throws {FailedPreconditionError} for secrets whose names no shell can assign. */
export function requireAssignable({ environment }: SlotSecrets): void {
  const reserved = Object.keys(environment).find((name) => !canAssign(name))
  if (reserved === undefined) return
  throw new FailedPreconditionError(
    `env_var ${reserved} is a name that shells keep for themselves; choose another`,
  )
}

/** The beginning of a command line that gives a program, started by a shell, what shells drop. */
export function shellKeeps(environment: Readonly<Record<string, string>>): readonly string[] {
  const dropped = Object.entries(environment).filter(([name]) => !canAssign(name))
  if (dropped.length === 0) return []
  return ['/usr/bin/env', '--', ...dropped.map(([name, value]) => `${name}=${value}`)]
}

/**
 * A piece of shell that starts `$file` with the arguments `$@` in this environment, and ends with its
 * exit code: 127 when `is_there`, which looks on `$path`, finds no such file. The environment is this
 * one command's, so that the shell which reads it stays as it is. Names that a shell cannot assign
 * are set by `env`. Variables called `secretNames` get the values that the shell has as `secret_0`,
 * `secret_1` and so on: the script, which may be on a disk, does not have them.
 */
export function datumScript(
  environment: Readonly<Record<string, string>>,
  secretNames: readonly string[] = [],
  { isWarm = false }: { readonly isWarm?: boolean } = {},
): string {
  let assigned = ''
  let others = ''
  for (const [index, name] of secretNames.entries()) {
    assert(canAssign(name), 'a secret has a name that a shell assigns')
    assigned += `${name}="$secret_${index}" `
  }
  for (const [name, value] of Object.entries(environment)) {
    if (secretNames.includes(name)) continue
    const word = shellQuoted(value)
    if (canAssign(name)) assigned += `${name}=${word} `
    else others += ` ${shellQuoted(`${name}=`)}${word}`
  }
  const command = others === '' ? '"$file" "$@"' : `/usr/bin/env --${others} "$file" "$@"`
  const path = shellQuoted(environment['PATH'] ?? '')
  // The streams are opened anew for each datum: a program may have made them non-blocking.
  const streams = isWarm
    ? '</.pachyderm/datums >/.pachyderm/stdout 2>/.pachyderm/stderr 3>/.pachyderm/results'
    : '</.pachyderm/stdin >/.pachyderm/stdout 2>/.pachyderm/stderr 3>&-'
  return `path=${path}\nis_there || return 127\n${assigned}${command} ${streams} 4>&- 5<&-\n`
}

const escapedQuote = String.raw`'\''`

/** One shell word that stands for exactly `text`. */
export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", escapedQuote)}'`
}

/**
 * A file whose text is another for each datum. It is written in place: emptying and writing
 * a file makes ext4 write it out at once, which takes longer than a datum.
 */
export class RewrittenFile implements Disposable {
  #descriptor: number | undefined
  #size = 0

  /** Makes the file at `path`, with these rights. */
  constructor(path: string, mode: number) {
    this.#descriptor = openSync(path, 'wx', mode)
    fchmodSync(this.#descriptor, mode)
  }

  write(text: string): void {
    assert(this.#descriptor !== undefined, 'a slot is not used when it is closed')
    const bytes = Buffer.from(text)
    writeSync(this.#descriptor, bytes, 0, bytes.length, 0)
    if (bytes.length < this.#size) ftruncateSync(this.#descriptor, bytes.length)
    this.#size = bytes.length
  }

  [Symbol.dispose](): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}
