/* Stands for an application with its own SQLite: runs a script on a file, and says what failed. */

#include <stdio.h>
#include "sqlite3.h"

int main(int count, char **arguments) {
    sqlite3 *database;
    char *error = NULL;
    if (count != 3) {
        fprintf(stderr, "usage: sqlite3 FILE SCRIPT (SQLite %s)\n", sqlite3_libversion());
        return 2;
    }
    if (sqlite3_open(arguments[1], &database) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", arguments[1], sqlite3_errmsg(database));
        return 1;
    }
    if (sqlite3_exec(database, arguments[2], NULL, NULL, &error) != SQLITE_OK) {
        fprintf(stderr, "SQLite %s: %s\n", sqlite3_libversion(), error);
        return 1;
    }
    return sqlite3_close(database) == SQLITE_OK ? 0 : 1;
}
