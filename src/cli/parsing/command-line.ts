import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import type { CommandSpec, FlagSpec } from '../command.ts'
import { UsageError } from '../errors.ts'
import { Flags } from '../flags.ts'
import { commonFlags } from '../families/common-flags.ts'
import { splitArguments } from './commit-arguments.ts'

/** A command line that was understood. */
export interface ParsedCommand {
  readonly args: readonly string[]
  readonly flags: Flags
  readonly wantsHelp: boolean
}

/** @throws {UsageError} */
export async function parseCommand(
  command: CommandSpec,
  words: readonly string[],
): Promise<ParsedCommand> {
  const specs = [...command.flags, ...commonFlags]
  const { values, positionals } = await parseWords(specs, words)
  const wantsHelp = values['help'] === true
  const args = wantsHelp ? positionals : splitArguments(command, positionals)
  if (!wantsHelp) requireCount(command, args.length)
  const flags = new Map(specs.map((flag) => [flag.name, flagValue(flag, values)]))
  return { args, flags: new Flags(flags), wantsHelp }
}

interface Words {
  readonly values: Values
  readonly positionals: readonly string[]
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

async function parseWords(specs: readonly FlagSpec[], words: readonly string[]): Promise<Words> {
  const options: ParseArgsOptionsConfig = {}
  for (const { name, short, value } of specs) {
    const form = value === undefined ? ({ type: 'boolean' } as const) : textOption
    options[name] = short === undefined ? form : { ...form, short }
  }
  try {
    return parseArgs({ args: goForm(words, specs), options, strict: true, allowPositionals: true })
  } catch (error) {
    const { message } = error as Error
    const unknown = /^Unknown option '(-[^']*)'/.exec(message)?.[1]
    const hungry =
      /^Option '(?:-\w, )?(--[\w-]+) <value>' argument missing/.exec(message)?.[1] ??
      /^Option '(--?[\w-]+)' argument is ambiguous/.exec(message)?.[1]
    let text = plainText(message)
    if (unknown !== undefined) text = `unknown flag: ${unknown}${await hint(unknown, specs)}`
    else if (hungry !== undefined) text = needyText(hungry, specs, words)
    throw new UsageError(text, { cause: error, showsUsage: true })
  }
}

/** Of a flag behind which there is nothing, or a word that looks like another flag. */
function needyText(hungry: string, specs: readonly FlagSpec[], words: readonly string[]): string {
  const flag = specs.find(({ name, short }) => hungry === `--${name}` || hungry === `-${short}`)
  const next = words[words.indexOf(hungry) + 1] ?? ''
  if (flag?.isCount === true && /^-\d/.test(next)) return badCountText(flag, next)
  return `flag needs an argument: ${hungry}`
}

function badCountText({ name }: FlagSpec, text: string): string {
  return `invalid argument ${JSON.stringify(text)} for --${name}: write a whole number`
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

async function hint(unknown: string, specs: readonly FlagSpec[]): Promise<string> {
  const { suggestion } = await import('./suggestion.ts')
  const names = specs.map(({ name }) => `--${name}`)
  const nearest = suggestion(unknown, names)
  return nearest === undefined ? '' : `; did you mean ${nearest}?`
}

function flagValue(flag: FlagSpec, values: Values): readonly string[] | boolean {
  const value = values[flag.name]
  if (flag.value === undefined) return value === true
  const given = (Array.isArray(value) ? value : []).map(String)
  const texts = flag.repeats === true ? given.flatMap((text) => text.split(',')) : given
  if (flag.isCount === true) {
    for (const text of texts) {
      if (!/^\d{1,15}$/.test(text)) {
        throw new UsageError(badCountText(flag, text), { showsUsage: true })
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
  throw new UsageError(`expected ${expected} ${noun}, got ${count}`, { showsUsage: true })
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
