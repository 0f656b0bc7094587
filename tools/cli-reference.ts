// Writes docs/cli.md from the command table: `tools/node tools/cli-reference.ts`. A test holds it current.

import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import type { CommandSpec, FlagSpec } from '../src/cli/command.ts'
import { loadFamilies } from '../src/cli/command-table.ts'
import { commonFlags } from '../src/cli/families/common-flags.ts'
import { flagAbout, flagForm, usageLines } from '../src/cli/help.ts'

export const referencePath = 'docs/cli.md'

/** The whole page. */
export async function referenceText(): Promise<string> {
  const families = await loadFamilies()
  const index = families.map(({ title, commands }) => {
    const links = commands.map(({ name }) => `[${name}](#${name})`).join(', ')
    return `- ${title}: ${links}\n`
  })
  const sections = families.map(
    ({ title, commands }) => `## ${title}\n\n${commands.map(commandSection).join('\n')}`,
  )
  return [
    '# pachctl',
    '',
    '<!-- Written by tools/cli-reference.ts from the command table. -->',
    '',
    'pachctl works with the pachd that the environment variable `ADDRESS` names as `HOST:PORT`; else',
    'with the one that `v1.pachd_address` of `~/.pachyderm/config.json` names; else with `0.0.0.0:30650`.',
    '',
    'Commands, their flags, what they print and their texts of errors are those of 1.5. `--raw` prints',
    'the JSON form of protobuf messages, one after another. A command that fails says why on standard',
    'error and exits with 1; one whose output nobody reads to the end exits with 0 and no word.',
    '',
    'Wherever a command takes a commit, that is a branch (which stands for its head), a commit tag or an',
    'id, and `^` or `~N` behind it goes back to its parent, or N commits: `master^`, `master~3`. Repo,',
    'commit and path may be one argument, `REPO@COMMIT:PATH`, as in `images@master~3:/cat.png`;',
    'commands that take this show it below.',
    '',
    index.join(''),
    `Flags of every command:\n\n${flagTable(commonFlags)}`,
    sections.join('\n'),
  ].join('\n')
}

function commandSection(command: CommandSpec): string {
  const { name, about, details, examples = [], flags } = command
  const parts = [
    `### ${name}\n`,
    `${about.slice(0, 1).toUpperCase()}${about.slice(1)}.\n`,
    `\`\`\`\n${usageLines(command).join('\n')}\n\`\`\`\n`,
  ]
  if (details !== undefined) parts.push(`${details}\n`)
  if (flags.length > 0) parts.push(flagTable(flags))
  if (examples.length > 0) parts.push(`\`\`\`sh\n${examples.join('\n')}\n\`\`\`\n`)
  return parts.join('\n')
}

function flagTable(flags: readonly FlagSpec[]): string {
  const rows = flags.map((flag) => {
    const form = flagForm(flag)
      .trim()
      .replaceAll('|', String.raw`\|`)
    return `| \`${form}\` | ${flagAbout(flag)} |\n`
  })
  return `| flag | what it does |\n|---|---|\n${rows.join('')}`
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(referencePath, await referenceText())
}
