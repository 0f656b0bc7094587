// Describes one package. It reads the only package below /pfs/packages, and writes
// /pfs/out/<name>.json: name, version, licence, files, bytes, and lines of code by language.

import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'

const pfs = process.env.PFS ?? '/pfs'
const newline = 0x0a
const space = 0x20

/** The language of a file, by the end of its name. What is not listed is not counted as code. */
const languages = {
  '.c': 'C',
  '.cc': 'C++',
  '.cjs': 'JavaScript',
  '.cpp': 'C++',
  '.css': 'CSS',
  '.cts': 'TypeScript',
  '.go': 'Go',
  '.h': 'C',
  '.hpp': 'C++',
  '.html': 'HTML',
  '.js': 'JavaScript',
  '.jsx': 'JavaScript',
  '.mjs': 'JavaScript',
  '.mts': 'TypeScript',
  '.proto': 'Protobuf',
  '.py': 'Python',
  '.rs': 'Rust',
  '.sh': 'Shell',
  '.ts': 'TypeScript',
  '.tsx': 'TypeScript',
  '.wat': 'WebAssembly',
}

/** `name`, or `@scope/name`: the directory is there because the datum is this package. */
function findPackage(directory) {
  const [first = ''] = readdirSync(directory)
  if (!first.startsWith('@')) return first
  const [second = ''] = readdirSync(join(directory, first))
  return `${first}/${second}`
}

/** Follows no links: a package is what is in its own directory. */
function* filesBelow(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) yield* filesBelow(path)
    else if (entry.isFile()) yield path
  }
}

/** Lines that are not blank, in UTF-8 or any other encoding that has ASCII in it. */
function countLines(bytes) {
  let count = 0
  let isBlank = true
  for (const byte of bytes) {
    if (byte === newline) isBlank = true
    else if (isBlank && byte > space) {
      isBlank = false
      count += 1
    }
  }
  return count
}

/** Today's form, and the two that old packages still have. */
function licenceOf(manifest) {
  const { license, licenses } = manifest
  const given = [license ?? licenses ?? []].flat()
  const names = given.map((one) => (typeof one === 'string' ? one : one?.type)).filter(Boolean)
  return names.length === 0 ? 'unknown' : names.join(' OR ')
}

function readManifest(directory) {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
  } catch (error) {
    console.error(`no usable package.json: ${error.message}`)
    return {}
  }
}

const name = findPackage(join(pfs, 'packages'))
const directory = join(pfs, 'packages', name)
const manifest = readManifest(directory)
const facts = {
  name,
  version: manifest.version ?? 'unknown',
  licence: licenceOf(manifest),
  files: 0,
  bytes: 0,
  lines: {},
}
for (const path of filesBelow(directory)) {
  facts.files += 1
  facts.bytes += statSync(path).size
  const language = languages[extname(path)]
  if (language === undefined) continue
  const lines = countLines(readFileSync(path))
  facts.lines[language] = (facts.lines[language] ?? 0) + lines
}

const target = join(pfs, 'out', `${name}.json`)
mkdirSync(dirname(target), { recursive: true })
writeFileSync(target, `${JSON.stringify(facts, undefined, 2)}\n`)
console.log(`${name} ${facts.version}: ${facts.files} files, ${facts.licence}`)
