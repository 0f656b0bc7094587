import type { CommandFamily, CommandSpec, FlagSpec } from './command.ts'

/** Flags that every command takes. */
export const commonFlags: readonly FlagSpec[] = [
  { name: 'help', short: 'h', about: 'say what the command does' },
  { name: 'verbose', short: 'v', about: 'accepted for old scripts; has no effect' },
  { name: 'no-metrics', about: 'accepted for old scripts; nothing is ever reported' },
]

export function usageLine(command: CommandSpec): string {
  const args = command.arguments === '' ? '' : ` ${command.arguments}`
  const flags = command.flags.length === 0 ? '' : ' [flags]'
  return `pachctl ${command.name}${args}${flags}`
}

/** What is shown when a command was called wrongly. */
export function usageText(command: CommandSpec): string {
  const flags = command.flags.length === 0 ? '' : `\nFlags:\n${flagLines(command.flags)}`
  return `Usage:\n  ${usageLine(command)}\n${flags}`
}

/** The help of one command. */
export function commandHelp(command: CommandSpec): string {
  const { about, details, examples = [] } = command
  const parts = [capitalized(about) + '.\n']
  if (details !== undefined) parts.push(`${details}\n`)
  parts.push(usageText(command))
  if (examples.length > 0)
    parts.push(`Examples:\n${examples.map((line) => `  ${line}\n`).join('')}`)
  parts.push(`Flags of every command:\n${flagLines(commonFlags)}`)
  return parts.join('\n')
}

/** The help of the whole program. */
export function generalHelp(families: readonly CommandFamily[]): string {
  const width = Math.max(...families.flatMap(({ commands }) => commands.map(nameLength)))
  const sections = families.map(({ title, commands }) => {
    const lines = commands.map(({ name, about }) => `  ${name.padEnd(width)}   ${about}\n`)
    return `${title}:\n${lines.join('')}`
  })
  return [
    'pachctl works with a pachd: versioned data, and pipelines over it.\n',
    'Usage:\n  pachctl COMMAND [arguments] [flags]\n',
    ...sections,
    `Flags of every command:\n${flagLines(commonFlags)}`,
    'Environment:\n  ADDRESS   HOST:PORT of pachd; else what ~/.pachyderm/config.json says, else 0.0.0.0:30650\n',
    'For one command: pachctl help COMMAND\n',
  ].join('\n')
}

function nameLength({ name }: CommandSpec): number {
  return name.length
}

/** How a flag is written, as in `-f, --file SOURCE`. */
export function flagForm({ name, short, value }: FlagSpec): string {
  const long = value === undefined ? `--${name}` : `--${name} ${value}`
  return short === undefined ? `    ${long}` : `-${short}, ${long}`
}

/** What a flag does, with what holds when it is not given. */
export function flagAbout(flag: FlagSpec): string {
  const rest = [
    ...(flag.repeats === true ? ['may be repeated'] : []),
    ...(flag.default === undefined ? [] : [`default ${flag.default}`]),
  ]
  return rest.length === 0 ? flag.about : `${flag.about} (${rest.join('; ')})`
}

function flagLines(flags: readonly FlagSpec[]): string {
  const width = Math.max(...flags.map((flag) => flagForm(flag).length))
  return flags.map((flag) => `  ${flagForm(flag).padEnd(width)}   ${flagAbout(flag)}\n`).join('')
}

function capitalized(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}
