_ibutsu_tasks_completion() {
    local IFS=$'
'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \
                   COMP_CWORD=$COMP_CWORD \
                   _IBUTSU_TASKS_COMPLETE=complete_bash $1 ) )
    return 0
}

complete -o default -F _ibutsu_tasks_completion ibutsu-tasks
