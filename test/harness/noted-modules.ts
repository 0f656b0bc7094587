import { writeFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

// To be loaded before a program: when that ends, the URLs of the modules that it has loaded are in the file
// that this variable names, a line each.

export const notedModulesVariable = 'NOTED_MODULES'

const path = process.env[notedModulesVariable]
if (path !== undefined) {
  const urls: string[] = []
  registerHooks({
    load(url, context, next) {
      urls.push(url)
      return next(url, context)
    },
  })
  process.on('exit', () => writeFileSync(path, urls.join('\n')))
}
