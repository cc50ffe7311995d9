// Common English words for the typing test.
export default `
the and that have with this from they will would there their what about which when make like
time just know take people into year your good some could them other than then look only come
over think also back after work first well even want because these give most find here thing
many tell very still again right small large world house every never under water light night
point plant around another place began story young letter mother answer study learn should
paper group often always music those both mark book until mile river care second enough girl
usual ready above ever list though feel talk bird soon body dog family direct leave song door
product black short class wind question happen complete ship area half rock order fire south
problem piece told knew pass since top whole king space heard best hour better during hundred
five remember step early hold west ground interest reach fast sing listen table travel morning
simple several toward war lay against pattern slow center person money serve appear road map
rain rule
`.trim().split(/\s+/);
