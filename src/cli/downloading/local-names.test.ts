import { describe, expect, test } from 'vitest'
import { checkLocalName, NameClaims, NameRefusedError } from './local-names.ts'

describe('a name that a server sends', () => {
  test.each(['', '.', '..', 'a/b', '/', 'a\0b'])('%j is no file name anywhere', (name) => {
    for (const platform of ['linux', 'darwin', 'win32'] as const) {
      expect(() => checkLocalName(name, platform)).toThrow(NameRefusedError)
    }
  })

  test.each(['a\\b', 'C:', 'con', 'LPT1.txt', 'a.', '...', 'a ', 'what?', 'tab\t', '"'])(
    '%j is none on Windows only',
    (name) => {
      expect(() => checkLocalName(name, 'win32')).toThrow('on Windows')
      expect(() => checkLocalName(name, 'linux')).not.toThrow()
    },
  )

  test.each(['..a', '.hidden', ' a', 'console', 'ä', '\u202e'])('%j is one everywhere', (name) => {
    expect(() => checkLocalName(name, 'linux')).not.toThrow()
    expect(() => checkLocalName(name, 'win32')).not.toThrow()
  })
})

/** Those of the paths that cannot have their names. */
function claimAll(
  forms: { readonly ignoresCase: boolean; readonly ignoresForm: boolean },
  paths: readonly string[],
): readonly string[] {
  const claims = new NameClaims(forms)
  return paths.filter((path) => {
    try {
      claims.claim(path.split('/'))
      return false
    } catch {
      return true
    }
  })
}

describe('names of one commit', () => {
  const exact = { ignoresCase: false, ignoresForm: false }
  const folded = { ignoresCase: true, ignoresForm: true }
  const inTreeOrder = ['A', 'B', 'B/x', 'B/y', 'B/y/A', 'B/y/a', 'a', 'a/b', 'b', 'b/x', 'c']

  test('are all different where the file system tells them apart', () => {
    expect(claimAll(exact, inTreeOrder)).toEqual([])
  })

  test('clash where it does not, in their own directory only', () => {
    expect(claimAll(folded, inTreeOrder)).toEqual(['B/y/a', 'a', 'a/b', 'b', 'b/x'])
  })

  test('may be claimed again, and without their directories', () => {
    expect(claimAll(folded, ['d', 'd', 'd/a', 'd/a', 'e/x', 'e/y', 'E/z'])).toEqual(['E/z'])
  })

  test('clash in another form of the same letters where that is ignored', () => {
    const paths = ['\u00e9', 'e\u0301']
    expect(claimAll({ ignoresCase: true, ignoresForm: false }, paths)).toEqual([])
    expect(claimAll({ ignoresCase: false, ignoresForm: true }, paths)).toEqual(['e\u0301'])
  })
})
