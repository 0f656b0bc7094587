import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import type { CommandSpec, FlagSpec } from '../command.ts'
import { UsageError } from '../errors.ts'
import { Flags } from '../flags.ts'
import { commonFlags, usageText } from '../help.ts'
import { suggestion } from './suggestion.ts'

/** A command line that was understood. */
export interface ParsedCommand {
  readonly args: readonly string[]
  readonly flags: Flags
  readonly wantsHelp: boolean
}

/** @throws {UsageError} with the command's usage. */
export function parseCommand(command: CommandSpec, words: readonly string[]): ParsedCommand {
  const specs = [...command.flags, ...commonFlags]
  const { values, positionals } = parseWords(command, specs, words)
  const wantsHelp = values['help'] === true
  if (!wantsHelp) requireCount(command, positionals.length)
  const flags = new Map(specs.map((flag) => [flag.name, flagValue(command, flag, values)]))
  return { args: positionals, flags: new Flags(flags), wantsHelp }
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

function parseWords(
  command: CommandSpec,
  specs: readonly FlagSpec[],
  words: readonly string[],
): { readonly values: Values; readonly positionals: readonly string[] } {
  const options: ParseArgsOptionsConfig = {}
  for (const { name, short, value } of specs) {
    const form = value === undefined ? ({ type: 'boolean' } as const) : textOption
    options[name] = short === undefined ? form : { ...form, short }
  }
  try {
    return parseArgs({ args: goForm(words, specs), options, strict: true, allowPositionals: true })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const unknown = /Unknown option '(-[^']*)'/.exec(message)?.[1]
    if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION' && unknown !== undefined) {
      throw unknownFlag(command, specs, unknown, error)
    }
    throw new UsageError(plainText(message), usageText(command), { cause: error })
  }
}

const textOption = { type: 'string', multiple: true } as const

/** `--raw=true` is how Go's flags may be written too. */
function goForm(words: readonly string[], specs: readonly FlagSpec[]): string[] {
  const switches = new Set(
    specs.filter(({ value }) => value === undefined).map(({ name }) => `--${name}`),
  )
  const end = words.indexOf('--')
  return words.flatMap((word, index) => {
    const match = /^(--[^=]+)=(true|false)$/.exec(word)
    const name = match?.[1]
    if (name === undefined || !switches.has(name) || (end !== -1 && index > end)) return [word]
    return match?.[2] === 'true' ? [name] : []
  })
}

/** Node's first sentence: the others tell of rules that people do not need. */
function plainText(message: string): string {
  return message.split(/\.?\n|\. /, 1)[0] ?? message
}

function unknownFlag(
  command: CommandSpec,
  specs: readonly FlagSpec[],
  unknown: string,
  cause: unknown,
): UsageError {
  const nearest = suggestion(
    unknown,
    specs.map(({ name }) => `--${name}`),
  )
  const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`
  return new UsageError(`unknown flag: ${unknown}${hint}`, usageText(command), { cause })
}

function flagValue(
  command: CommandSpec,
  flag: FlagSpec,
  values: Values,
): readonly string[] | boolean {
  const value = values[flag.name]
  if (flag.value === undefined) return value === true
  const given = (Array.isArray(value) ? value : []).map(String)
  const texts = flag.repeats === true ? given.flatMap((text) => text.split(',')) : given
  if (flag.isCount === true) {
    for (const text of texts) {
      if (!/^\d{1,15}$/.test(text)) {
        throw new UsageError(
          `invalid argument ${JSON.stringify(text)} for --${flag.name}: write a whole number`,
          usageText(command),
        )
      }
    }
  }
  return texts.length === 0 && flag.default !== undefined ? [flag.default] : texts
}

function requireCount(command: CommandSpec, count: number): void {
  const { counts, isOpen } = argumentCounts(command.arguments)
  const fewest = counts[0] ?? 0
  const most = counts.at(-1) ?? 0
  if (counts.includes(count) || (isOpen && count >= fewest)) return
  const expected = isOpen
    ? `at least ${fewest}`
    : counts.length === 1
      ? `${fewest}`
      : counts.length === 2 && most > fewest + 1
        ? `${fewest} or ${most}`
        : `${fewest} to ${most}`
  const noun = expected === '1' || expected === 'at least 1' ? 'argument' : 'arguments'
  throw new UsageError(`expected ${expected} ${noun}, got ${count}`, usageText(command))
}

/** How many arguments a form such as `REPO COMMIT [PATH]` allows; `NAME...` stands for more. */
function argumentCounts(form: string): { readonly counts: readonly number[]; isOpen: boolean } {
  const groups = form.match(/\[[^\]]*\]/g) ?? []
  let count = wordCount(form.replaceAll(/\[[^\]]*\]/g, ''))
  const counts = [count]
  for (const group of groups) {
    count += wordCount(group)
    counts.push(count)
  }
  return { counts, isOpen: form.includes('...') }
}

function wordCount(text: string): number {
  return text.split(' ').filter((word) => word !== '').length
}
