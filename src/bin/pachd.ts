console.log('pachd')
