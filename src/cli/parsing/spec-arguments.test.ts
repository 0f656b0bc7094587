import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parsePipelineSpecs } from './pipeline-specs.ts'
import { parseSpecArguments, SpecTemplate } from './spec-arguments.ts'

/** What becomes of a parsed template. */
function filled(value: unknown, ...words: readonly string[]): unknown {
  const template = new SpecTemplate(parseSpecArguments(words))
  const result = template.substitute(value)
  template.requireAllUsed()
  return result
}

test('a value that is one placeholder becomes the argument, within a text it is text', () => {
  expect(filled(['{{n}}', '{{ n }}x{{n}}', { '{{n}}': 1 }], 'n:=3')).toEqual([3, '3x3', { 3: 1 }])
  expect(filled({ a: '{{list}}', b: '{{flag}}' }, 'list:=["x"]', 'flag:=false')).toEqual({
    a: ['x'],
    b: false,
  })
  expect(filled('{{a}}', 'a=b=c')).toBe('b=c')
  expect(filled('${PFS:-/pfs} {{.Name}} {{ }} $f {{a}}', 'a=')).toBe(
    '${PFS:-/pfs} {{.Name}} {{ }} $f ',
  )
})

test.each([
  ['{{nme}}', ['name=x'], 'the template needs --arg nme=…; did you mean name where'],
  ['x', ['name=x'], 'the template has no {{name}}, and --arg name was given'],
  ['a {{l}}', ['l:=[1]'], 'argument l is [1], which cannot stand within a text'],
  [{ '{{a}}': 1, '{{b}}': 2 }, ['a=x', 'b=x'], 'two fields of one object are named "x"'],
  ['{{a}}', ['a=1', 'a=2'], '--arg a is given twice'],
  ['{{a}}', ['a:=x'], '--arg a:=x is not JSON; for a text, write a=x'],
  ['{{a}}', ['a'], '--arg "a" makes no sense'],
  ['{{a}}', ['1=x'], '--arg "1=x" makes no sense'],
])('the template %j with %j is refused', (value, words, message) => {
  expect(() => filled(value, ...words)).toThrow(message)
})

test('whatever an argument holds, it stays where it was put', async () => {
  const template = '{"pipeline": {"name": "a"}, "description": "<{{text}}>", "batch": true}'
  const source = { text: template, name: 'a.json' }
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
      const { substitute } = new SpecTemplate(parseSpecArguments([`text=${text}`]))
      const specs = await Array.fromAsync(parsePipelineSpecs(source, substitute))
      expect(specs).toHaveLength(1)
      expect(specs[0]).toMatchObject({ description: `<${text}>`, batch: true })
    }),
  )
})
