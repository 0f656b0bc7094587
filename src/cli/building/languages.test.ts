import { describe, expect, test } from 'vitest'

import { recipeFor } from './languages.ts'

describe('a folder without a Dockerfile', () => {
  test.each([
    [['main.py'], 'Python', ['python3', '-B', '/app/main.py']],
    [['tool.py', 'README.md'], 'Python', ['python3', '-B', '/app/tool.py']],
    [['requirements.txt', 'app.py', 'b.py'], 'Python', ['python3', '-B', '/app/app.py']],
    [['package.json', 'index.js'], 'JavaScript', ['node', '/app/index.js']],
    [['go.mod', 'main.go', 'x.go'], 'Go', ['/usr/local/bin/pipeline']],
    [['main.R'], 'R', ['Rscript', '/app/main.R']],
    [['main.rb', 'Gemfile'], 'Ruby', ['ruby', '/app/main.rb']],
    [['main.sh', 'lib/x.py'], 'shell', ['sh', '/app/main.sh']],
    [['main.py', 'setup.sh'], 'Python', ['python3', '-B', '/app/main.py']],
  ])('%j is %s', (paths, language, command) => {
    expect(recipeFor('code', paths)).toMatchObject({ language, command })
  })

  test('gets the packages that it says it needs', () => {
    const { dockerfile } = recipeFor('code', ['main.py', 'requirements.txt'])
    expect(dockerfile).toBe(
      'FROM python:3.13-slim\nWORKDIR /app\nCOPY . /app\nRUN pip install --no-cache-dir -r requirements.txt\n',
    )
    expect(recipeFor('code', ['main.py']).dockerfile).not.toContain('RUN')
    expect(
      recipeFor('code', ['index.js', 'package.json', 'package-lock.json']).dockerfile,
    ).toContain('RUN npm ci --omit=dev')
  })

  test('without an image, is run where the input is', () => {
    expect(recipeFor('code', ['main.py']).sourceScript).toBe(
      'exec python3 -B "$PFS/source"/main.py',
    )
  })

  test.each([
    [['a.py', 'b.py'], 'which file to start is not clear: name it main.py'],
    [['a b.py'], 'which file to start is not clear'],
    [['$(x).sh'], 'which file to start is not clear'],
    [['README.md'], 'no file tells its language (main.go, main.py'],
    [[], 'write a Dockerfile'],
  ])('%j is refused', (paths, text) => {
    expect(() => recipeFor('code', paths)).toThrow(text)
  })
})
