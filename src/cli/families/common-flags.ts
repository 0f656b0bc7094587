import type { FlagSpec } from '../command.ts'

export const rawFlag: FlagSpec = { name: 'raw', about: 'print JSON instead of text for people' }

export const parallelismFlag: FlagSpec = {
  name: 'parallelism',
  short: 'p',
  value: 'COUNT',
  isCount: true,
  default: '10',
  about: 'how many files to move at once',
}
