import type { FlagSpec } from '../command.ts'

export const rawFlag: FlagSpec = { name: 'raw', about: 'print JSON instead of text for people' }

export const dryRunFlag: FlagSpec = {
  name: 'dry-run',
  about: 'say what would be done, and do nothing',
}

export const commitAroundFlag: FlagSpec = {
  name: 'commit',
  short: 'c',
  about: 'open a commit before, and finish it after',
}

export const parallelismFlag: FlagSpec = {
  name: 'parallelism',
  short: 'p',
  value: 'COUNT',
  isCount: true,
  default: '10',
  about: 'how many files to move at once',
}

export const messageFlag: FlagSpec = {
  name: 'message',
  short: 'm',
  value: 'TEXT',
  about: 'what to say of the commit, at most 4,096 bytes',
}

export const templateFlags: readonly FlagSpec[] = [
  {
    name: 'template',
    value: 'SOURCE',
    about: 'in place of --file: specs in which {{name}} stands for an argument',
  },
  {
    name: 'arg',
    value: 'NAME=TEXT',
    about: 'an argument of the template, or name:=json for a number, true, false or a list',
  },
]

/** Flags that every command takes. */
export const commonFlags: readonly FlagSpec[] = [
  { name: 'help', short: 'h', about: 'say what the command does' },
  { name: 'verbose', short: 'v', about: 'accepted for old scripts; has no effect' },
  { name: 'no-metrics', about: 'accepted for old scripts; nothing is ever reported' },
]
