import { expect, test } from 'vitest'
import { findCommand, loadFamilies } from '../command-table.ts'
import { usageLines } from '../help.ts'
import { joinedForm } from './argument-form.ts'
import { parseCommand } from './command-line.ts'
import { parseQualifiedCommit } from './commit-arguments.ts'

async function argsOf(line: string): Promise<readonly string[]> {
  const [name = '', ...words] = line.split(' ')
  return (await parseCommand(await findCommand(name), words)).args
}

/** Every command that takes a commit, each form of its arguments that may be joined. */
const joined: readonly (readonly [line: string, same: string])[] = [
  ['start-commit r@b', 'start-commit r b'],
  ['finish-commit r@b', 'finish-commit r b'],
  ['inspect-commit r@b^', 'inspect-commit r b^'],
  ['list-commit r@b~2', 'list-commit r b~2'],
  ['subscribe-commit r@b', 'subscribe-commit r b'],
  ['delete-commit r@b', 'delete-commit r b'],
  ['tag-commit r@b t', 'tag-commit r b t'],
  ['delete-commit-tag r@t', 'delete-commit-tag r t'],
  ['set-branch r@b^ n', 'set-branch r b^ n'],
  ['delete-branch r@b', 'delete-branch r b'],
  ['put-file r@b', 'put-file r b'],
  ['put-file r@b:/p', 'put-file r b /p'],
  ['put-file r@b /p', 'put-file r b /p'],
  ['get-file r@b^:/p', 'get-file r b^ /p'],
  ['get-file r@b p@q:r', 'get-file r b p@q:r'],
  ['export r@b:/p s3://t', 'export r b /p s3://t'],
  ['inspect-file r@b:/p', 'inspect-file r b /p'],
  ['list-file r@b', 'list-file r b'],
  ['list-file r@b:', 'list-file r b '],
  ['list-file r@b:/p', 'list-file r b /p'],
  ['glob-file r@b:/*:@', 'glob-file r b /*:@'],
  ['diff-file r@b:/p', 'diff-file r b /p'],
  ['diff-file r@b:/p s@c:/q', 'diff-file r b /p s c /q'],
  ['diff-file r b /p s@c /q', 'diff-file r b /p s c /q'],
  ['delete-file r@b:/p', 'delete-file r b /p'],
  ['history r@b:/p', 'history r b /p'],
  ['copy-file r@b:/p s@c:/q', 'copy-file r b /p s c /q'],
  ['move-file r@b:/p s@c:/q', 'move-file r b /p s c /q'],
  ['merge-branch r@f t', 'merge-branch r f t'],
  ['revert-commit r@b', 'revert-commit r b'],
  ['lineage r@b:/p', 'lineage r b /p'],
]

test.each(joined)('%s is %s', async (line, same) => {
  expect(await argsOf(line)).toEqual(same.split(' ').slice(1))
  expect(await argsOf(same)).toEqual(same.split(' ').slice(1))
})

test('every command with a repo and a commit among its arguments is tested above', async () => {
  const families = await loadFamilies()
  const able = families
    .flatMap(({ commands }) => commands)
    .filter((command) => joinedForm(command.arguments) !== undefined)
    .map(({ name }) => name)
  const tested = new Set(joined.map(([line]) => line.split(' ', 1)[0] ?? ''))
  expect(able.toSorted()).toEqual([...tested, 'flush-commit', 'run-pipeline'].toSorted())
})

test.each([
  ['@b:/p', '"@b:/p" names no repo before the @'],
  ['r@', '"r@" names no branch or commit after the @'],
  ['r@:/p', '"r@:/p" names no branch or commit after the @'],
  ['r@b', 'too few arguments: "r@b" stands for REPO COMMIT, and PATH is missing'],
  [
    'r@b:/p /q',
    'too many arguments: "r@b:/p" stands for REPO COMMIT PATH, so there is no place for "/q"',
  ],
  ['r/b /p', 'expected 3 arguments, got 2'],
])('get-file %s is refused with both forms', async (words, message) => {
  await expect(argsOf(`get-file ${words}`)).rejects.toMatchObject({ message, showsUsage: true })
  expect(usageLines(await findCommand('get-file'))).toEqual([
    'pachctl get-file REPO COMMIT PATH [flags]',
    'pachctl get-file REPO@COMMIT:PATH [flags]',
  ])
})

test.each([
  ['inspect-commit r@b:/p', '"r@b:/p" has a path, and inspect-commit takes none there'],
  ['set-branch r@b:/p n', '"r@b:/p" has a path, and set-branch takes none there'],
  ['set-branch r@b', 'too few arguments: "r@b" stands for REPO COMMIT, and NEW-BRANCH is missing'],
  [
    'diff-file r@b:/p s@c',
    'too few arguments: "s@c" stands for OLD-REPO OLD-COMMIT, and OLD-PATH is missing',
  ],
  [
    'put-file r@b:/p /q',
    'too many arguments: "r@b:/p" stands for REPO BRANCH PATH, so there is no place for "/q"',
  ],
])('%s is refused', async (line, message) => {
  await expect(argsOf(line)).rejects.toMatchObject({ message, showsUsage: true })
})

test.each([
  ['REPO COMMIT [PATH]', 'REPO@COMMIT[:PATH]'],
  ['REPO [BRANCH]', 'REPO@BRANCH'],
  ['REPO/COMMIT...', 'REPO@COMMIT...'],
  [
    'A-REPO A-COMMIT A-PATH [B-REPO B-COMMIT B-PATH]',
    'A-REPO@A-COMMIT:A-PATH [B-REPO@B-COMMIT:B-PATH]',
  ],
  ['REPO COMMIT NEW-BRANCH', 'REPO@COMMIT NEW-BRANCH'],
  ['REPO', undefined],
  ['[REPO]', undefined],
  ['JOB PATH,PATH', undefined],
  ['', undefined],
])('the form %j is also %j', (form, also) => {
  expect(joinedForm(form)).toBe(also)
})

test('a commit in one argument has a slash or an @', () => {
  expect(parseQualifiedCommit('r/b')).toEqual({ repo: 'r', commit: 'b' })
  expect(parseQualifiedCommit('r@b^')).toEqual({ repo: 'r', commit: 'b^' })
  expect(parseQualifiedCommit('r@a/b')).toEqual({ repo: 'r', commit: 'a/b' })
  expect(parseQualifiedCommit('r/a@b')).toEqual({ repo: 'r', commit: 'a@b' })
  for (const text of ['', 'r', 'r/', '/b', 'r/b/c', 'r@', '@b', 'r@b:/p']) {
    expect(() => parseQualifiedCommit(text)).toThrow(JSON.stringify(text))
  }
})
